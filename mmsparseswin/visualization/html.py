"""One self-contained HTML page: sections, tables that sort, charts and pictures inside the file."""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

from mmsparseswin.atomic_files import write_atomically

_STYLE = """
:root { color-scheme: light; --ink: #18181b; --soft: #63636b; --line: #e4e4e7; --paper: #ffffff; --tint: #f4f4f5; }
body { margin: 0; font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  color: var(--ink); background: var(--paper); }
header, main, nav > div { max-width: 1080px; margin: 0 auto; padding: 0 20px; }
header h1 { font-size: 26px; margin: 28px 0 4px; overflow-wrap: anywhere; }
header p { color: var(--soft); margin: 0 0 16px; overflow-wrap: anywhere; }
nav { position: sticky; top: 0; background: var(--paper); border-bottom: 1px solid var(--line); z-index: 1; }
nav > div { display: flex; flex-wrap: wrap; gap: 2px 18px; padding-top: 8px; padding-bottom: 8px; }
nav a { color: var(--soft); text-decoration: none; font-size: 14px; }
nav a:hover { color: var(--ink); text-decoration: underline; }
section { scroll-margin-top: 48px; margin: 36px 0; }
h2 { font-size: 20px; margin: 0 0 6px; }
section > p { color: var(--soft); margin: 0 0 14px; max-width: 76ch; }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; }
.tile { background: var(--tint); border-radius: 8px; padding: 10px 16px; min-width: 92px; }
.tile b { display: block; font-size: 22px; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.tiles + p, .tiles + ul, .tiles + figure, .wide + figure { margin-top: 14px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 12px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
td.text, th.text { text-align: left; }
td.text { white-space: normal; }
th { color: var(--soft); font-weight: 600; cursor: pointer; user-select: none; }
th:hover { color: var(--ink); }
figure { margin: 0 0 20px; }
figure svg { max-width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: 13px; margin-top: 2px; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 500px), 1fr)); gap: 18px; }
.pictures img { max-width: 100%; border-radius: 4px; }
.small { grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); }
ul { padding-left: 20px; } li { margin-bottom: 4px; overflow-wrap: anywhere; }
"""
_SORT = """
document.querySelectorAll('th').forEach(head => head.addEventListener('click', () => {
  const body = head.closest('table').tBodies[0], column = head.cellIndex, down = head.dataset.down !== '1';
  head.closest('tr').querySelectorAll('th').forEach(one => delete one.dataset.down);
  head.dataset.down = down ? '1' : '0';
  const key = row => { const text = row.cells[column].textContent, number = parseFloat(text.replace(/,/g, ''));
    return isNaN(number) ? text : number; };
  [...body.rows].sort((a, b) => { const x = key(a), y = key(b);
    const order = typeof x === typeof y ? (x > y) - (x < y) : typeof x === 'number' ? 1 : -1;
    return down ? -order : order; }).forEach(row => body.append(row));
}));
"""


class Section(NamedTuple):
    """Part of a page: a heading, a sentence that says how to read it, and its HTML."""

    title: str
    text: str
    html: str


def write_page(path: Path, title: str, subtitle: str, sections: Sequence[Section]) -> None:
    """Write a page whose sections are listed at its top."""
    links = ''.join(f'<a href="#s{index}">{escape(one.title)}</a>' for index, one in enumerate(sections))
    body = ''.join(
        f'<section id="s{index}"><h2>{escape(one.title)}</h2><p>{escape(one.text)}</p>{one.html}</section>'
        for index, one in enumerate(sections)
    )
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><style>{_STYLE}</style></head><body>'
        f'<header><h1>{escape(title)}</h1><p>{escape(subtitle)}</p></header><nav><div>{links}</div></nav>'
        f'<main>{body}</main><script>{_SORT}</script></body></html>'
    )
    write_atomically(path, page.encode())


def tiles(values: dict[str, str]) -> str:
    """Return large numbers with their names below."""
    cells = (
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>' for name, value in values.items()
    )
    return f'<div class="tiles">{"".join(cells)}</div>'


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table that sorts by a click on a head; floats get three digits, texts after the first column wrap."""
    texts = [bool(rows) and isinstance(cell, str) for cell in (rows[0] if rows else head)]
    heads = ''.join(
        f'<th{" class=text" if is_text else ""}>{escape(name)}</th>' for name, is_text in zip(head, texts, strict=True)
    )
    body = ''.join('<tr>' + ''.join(map(_cell, row)) + '</tr>' for row in rows)
    return f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f'<td>{value:.3f}</td>'
    if isinstance(value, int):
        return f'<td>{value:,}</td>'
    return f'<td class="text">{escape(str(value))}</td>'


def lines(texts: Sequence[str]) -> str:
    """Return a list of lines."""
    return '<ul>' + ''.join(f'<li>{escape(text)}</li>' for text in texts) + '</ul>'


def figure(chart: Figure, caption: str = '') -> str:
    """Return a chart as SVG, its letters as text."""
    with matplotlib.rc_context({'svg.fonttype': 'none', 'font.family': 'sans-serif', 'svg.hashsalt': 'mmsparseswin'}):
        file = io.StringIO()
        chart.savefig(file, format='svg', metadata={'Date': None})
    svg = file.getvalue()
    note = f'<figcaption>{escape(caption)}</figcaption>' if caption else ''
    return f'<figure>{svg[svg.index("<svg") :]}{note}</figure>'


def pictures(images: Sequence[tuple[Image.Image, str]], small: bool = False) -> str:
    """Return pictures with captions in a grid; `small` for narrow ones."""
    cells = []
    for image, caption in images:
        file = io.BytesIO()
        image.convert('RGB').save(file, 'JPEG', quality=85)
        data = base64.b64encode(file.getvalue()).decode()
        source = f'data:image/jpeg;base64,{data}'
        cells.append(
            f'<figure><img loading="lazy" width="{image.width}" height="{image.height}" alt="{escape(caption)}" '
            f'style="height:auto" src="{source}"><figcaption>{escape(caption)}</figcaption></figure>'
        )
    return f'<div class="pictures{" small" if small else ""}">{"".join(cells)}</div>'
