"""Write table, picture and page of the slim SSD grid (tools/experiments/ssd_grid.py)."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from mmsparseswin.errors import InputError

BACKBONES = {
    'r50-a': 'ResNet-50-A',
    'r50-b': 'ResNet-50-B',
    'swin-t-a': 'Swin-T-A',
    'swin-t-b': 'Swin-T-B',
    'sparseswin-t': 'SparseSwin-T',
    'stvit-r-s': 'STViT-R-S',
}
NECKS = {'none': 'none', 'fpn': 'FPN', 'pan': 'PAN', 'densefpn': 'DenseFPN'}
BEGIN, END = '<!-- results of ssd_grid.py -->', '<!-- end of results -->'


class Cell(NamedTuple):
    """One backbone with one neck, trained from several seeds."""

    backbone: str
    neck: str
    parameters: int
    scores: tuple[float, ...]  # mAP, one per seed
    milliseconds: float  # median time to detect in one image

    @property
    def score(self) -> float:
        """Return the mean mAP."""
        return mean(self.scores)


def table(cells: Sequence[Cell]) -> str:
    """Return a Markdown table with one row per backbone and neck."""
    lines = [
        '| Backbone (slim) | Neck | Params (M) | ms per image | mAP of each seed | mean mAP |',
        '| --- | --- | --- | --- | --- | --- |',
    ]
    for cell in cells:
        names = f'{BACKBONES[cell.backbone]} | {NECKS[cell.neck]}'
        seeds = ', '.join(f'{score:.3f}' for score in cell.scores)
        lines.append(
            f'| {names} | {cell.parameters / 1e6:.2f} | {cell.milliseconds:.1f} | {seeds} | {cell.score:.3f} |'
        )
    return '\n'.join(lines) + '\n'


def draw(cells: Sequence[Cell], path: Path) -> None:
    """Draw mAP over time per image: a colour per backbone, a marker per neck, a line between worst and best seed."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    axes = (figure := Figure(figsize=(8, 5), layout='constrained')).add_subplot()
    colours = {name: f'C{number}' for number, name in enumerate(BACKBONES)}
    markers = dict(zip(NECKS, 'osD^', strict=True))
    for cell in cells:
        style: dict[str, Any] = dict(color=colours[cell.backbone])
        axes.plot([cell.milliseconds] * 2, [min(cell.scores), max(cell.scores)], lw=1, **style)
        axes.plot(cell.milliseconds, cell.score, markers[cell.neck], ms=8, **style)
    axes.set(xlabel='ms per image, batch 1, one CPU thread', ylabel='box mAP (mean; line: its seeds)')
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    legend = [Line2D([], [], color=c, lw=4, label=BACKBONES[name]) for name, c in colours.items()]
    legend += [Line2D([], [], color='grey', ls='', marker=m, label=NECKS[name]) for name, m in markers.items()]
    axes.legend(handles=legend, ncols=2, fontsize='small')
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def fill_page(page: Path, text: str) -> None:
    """Replace the text between the two marks of `page`.

    Raises:
        InputError: `page` is missing or lacks the marks.
    """
    content = page.read_text() if page.is_file() else ''
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f'{page} needs the lines {BEGIN} and {END}, between which the results go')
    page.write_text(f'{before}{begin}\n\n{text.strip()}\n\n{end}{after}')


def write_json(path: Path, cells: Sequence[Cell], **facts: Any) -> None:
    """Write all numbers and the facts of their measurement."""
    rows = [{**cell._asdict(), 'score': cell.score} for cell in cells]
    path.write_text(json.dumps({**facts, 'cells': rows}, indent=1) + '\n')
