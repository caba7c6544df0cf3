"""Export several models in every format and precision, and lay the proofs side by side in one table."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmsparseswin.atomic_files import write_atomically
from mmsparseswin.errors import InputError
from mmsparseswin.export.calibration import Calibration
from mmsparseswin.export.exporting import export
from mmsparseswin.export.formats import FORMATS
from mmsparseswin.export.quantization import is_quantized
from mmsparseswin.export.subjects import Subject

BEGIN, END = '<!-- begin: written by mmsparseswin export-matrix -->', '<!-- end -->'


class Entry(NamedTuple):
    """A model of the table: its name there, how it is built, and how its int8 files are calibrated."""

    name: str
    build: Callable[[], Subject]
    calibrate: Callable[[], Calibration]


def export_all(
    entries: Sequence[Entry], formats: Sequence[str], precisions: Sequence[str], shape: tuple[int, int], folder: Path
) -> Iterator[dict[str, Any]]:
    """Yield one row per model, format and precision that the format has; a refused export has its line as 'error'.

    Args:
        entries: the models.
        formats: keys of `FORMATS`.
        precisions: 'fp32', 'int8'.
        shape: (height, width) of the images.
        folder: for the files; one takes the place of another.
    """
    for entry in entries:
        subject, ranges = entry.build(), entry.calibrate() if 'int8' in precisions else None
        for name in formats:
            for precision in precisions:
                if precision == 'int8' and not is_quantized(name):
                    continue
                row = {'model': entry.name, 'format': name, 'precision': precision}
                try:
                    out = folder / f'model{FORMATS[name].suffix}'
                    report = export(subject, name, out, shape, int8=ranges if precision == 'int8' else None)
                except InputError as error:
                    yield {**row, 'error': str(error)}
                else:
                    yield {**row, **{key: report[key] for key in ('bytes', 'comparison', 'milliseconds', 'versions')}}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a table in Markdown."""
    lines = ['| Model | Format | Precision | Difference from eager | MB | ms, eager | ms, file |', '|' + ' --- |' * 7]
    for row in rows:
        cells = [row['model'], row['format'], row['precision'], *_numbers(row)]
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def _numbers(row: dict[str, Any]) -> list[str]:
    if 'error' in row:
        return [row['error'].replace('|', '/'), '', '', '']
    found, times = row['comparison'], row['milliseconds']
    if row['precision'] == 'int8':
        difference = f'cosine {min(one["cosine"] for one in found["outputs"].values()):.4f}'
        if 'accuracy' in found:
            difference += f', accuracy {found["accuracy"]["file"]:.2f} % (eager {found["accuracy"]["eager"]:.2f} %)'
    else:
        difference = f'{max(one["relative"] for one in found["outputs"].values()):.1e}'
    size = sum(row['bytes'].values()) / 1e6
    return [difference, f'{size:.1f}', f'{times["eager"]:.0f}', f'{times["file"]:.0f}']


def caption(rows: Sequence[dict[str, Any]], shape: tuple[int, int], command: str) -> str:
    """Return what the table's numbers hold for."""
    done = next((row for row in rows if 'error' not in row), None)
    if done is None:
        raise InputError('none of the exports succeeded: the lines above say why')
    times = done['milliseconds']
    return (
        f'One image of {shape[0]} x {shape[1]}, {times["processor"]}, {times["threads"]} threads, PyTorch '
        f'{done["versions"]["torch"]}; the difference is the largest one as a part of the largest value, the cosine '
        f'the lowest of the outputs:\n`{command}`'
    )


def save(rows: Sequence[dict[str, Any]], text: str, out: Path, page: Path | None) -> None:
    """Write the rows as JSON to `out`, and `text` into `page`, between the two marks.

    Raises:
        InputError: the page lacks the marks.
    """
    write_atomically(out, (json.dumps(rows, indent=1) + '\n').encode())
    if page is not None:
        before, _, after = split_page(page)
        write_atomically(page, f'{before}{BEGIN}\n{text}\n{END}{after}'.encode())


def split_page(page: Path) -> tuple[str, str, str]:
    """Return the page before its table, the table, and the page behind it.

    Raises:
        InputError: no page, or one without the marks.
    """
    content = page.read_text(encoding='utf-8') if page.is_file() else ''
    if BEGIN not in content or END not in content.partition(BEGIN)[2]:
        raise InputError(f'--page {page} has no lines {BEGIN!r} and {END!r}, between which the table goes')
    before, _, rest = content.partition(BEGIN)
    inside, _, after = rest.partition(END)
    return before, inside, after
