"""Curves of several runs side by side: a panel per loss or score, a colour per run."""

import fnmatch
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmsparseswin.engine.training_curves import read_scalars
from mmsparseswin.errors import InputError, few

Records = Sequence[Mapping[str, Any]]

_NO_CURVES = {'epoch', 'iter', 'step', 'time', 'data_time', 'minutes', 'memory'}
_SCORES = ('*/bbox_mAP', '*/segm_mAP', 'accuracy/*')
_COLUMNS = 3
_LARGEST_MARKED = 60  # points of a line with a dot each


def read_runs(folders: Sequence[str]) -> dict[str, Records]:
    """Return the records of each work dir by its name; two of one name get their path.

    Raises:
        InputError: a folder without records.
    """
    runs: dict[str, Records] = {}
    names = [Path(folder).resolve().name for folder in folders]
    for folder, name in zip(folders, names, strict=True):
        records = read_scalars(folder)
        if not records:
            raise InputError(
                f'{folder}: no curves yet (*/vis_data/scalars.json, which the LocalVisBackend of the visualizer writes '
                'at the first log line of a training)'
            )
        runs[name if names.count(name) == 1 else str(folder)] = records
    return runs


def choose_keys(runs: Mapping[str, Records], patterns: Sequence[str] = ()) -> list[str]:
    """Return what to draw: the keys that match `patterns`; without any the total loss, the scores, the learning rate.

    Raises:
        InputError: a pattern that matches nothing.
    """
    known = list(dict.fromkeys(key for records in runs.values() for record in records for key in record))
    known = [key for key in known if key not in _NO_CURVES and not key.startswith('base_')]
    chosen: list[str] = []
    for pattern in patterns or ('loss', *_SCORES, 'lr'):
        matching = fnmatch.filter(known, pattern)
        if patterns and not matching:
            raise InputError(f'--keys {pattern}: the runs have {few(known)}')
        chosen += matching
    return list(dict.fromkeys(chosen))


def draw_panels(runs: Mapping[str, Records], keys: Sequence[str], by: str = 'epoch') -> Figure:
    """Draw a panel per key with a line per run.

    Args:
        runs: name -> records of read_scalars.
        keys: of the records.
        by: 'epoch', 'iter' or 'minutes'; scores stand where their epoch ended.
    """
    columns = min(len(keys), _COLUMNS)
    rows = -(-len(keys) // columns)
    figure = Figure(figsize=(5.2 * columns, 3.4 * rows + 0.5), layout='constrained')
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, key in zip(panels, keys, strict=False):
        for color, (name, records) in enumerate(runs.items()):
            points = series(records, key, by)
            dots = 'o' if len(points) <= _LARGEST_MARKED else ''
            x, y = [place for place, _ in points], [value for _, value in points]
            panel.plot(x, y, f'-{dots}', color=f'C{color}', markersize=3, linewidth=1.3, label=name)
        panel.set_title(key, fontsize=11, loc='left')
        panel.set_xlabel(by)
        panel.xaxis.set_major_locator(MaxNLocator(integer=by != 'minutes', nbins=8))
        panel.grid(alpha=0.3)
    for panel in panels[len(keys) :]:
        panel.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside upper left', ncols=min(len(runs), 4), frameon=False)
    return figure


def series(records: Records, key: str, by: str) -> list[tuple[float, float]]:
    """Return (place, value) of `key` in the order of training."""
    places = _ends(records)
    points, minutes = [], 0.0
    for record in records:
        minutes = float(record.get('minutes', minutes))
        if key not in record or not isinstance(record[key], (int, float)):
            continue
        if by == 'minutes':
            place = minutes
        elif 'iter' in record:
            place = record['iter'] if by == 'iter' else record['iter'] / places[1]
        else:  # a score
            place = places.get(record['step'], record['step'] * places[1]) if by == 'iter' else record['step']
        points.append((float(place), float(record[key])))
    return points


def _ends(records: Records) -> dict[int, float]:
    """Return the last iteration of each epoch; that of epoch 1 is the length of an epoch as far as it is known."""
    ends: dict[int, float] = {}
    for record in records:
        if 'iter' in record:
            ends[record['epoch']] = record['iter']
    lengths = [end / epoch for epoch, end in ends.items() if epoch]
    ends[1] = max(lengths, default=1.0)
    return ends


def summary(runs: Mapping[str, Records], keys: Sequence[str]) -> str:
    """Return a table: the last value of each loss, the best and the last of each score."""
    lines = []
    width = max(map(len, runs))
    for name, records in runs.items():
        cells = []
        for key in keys:
            values = [record[key] for record in records if isinstance(record.get(key), (int, float))]
            if values and '/' in key:
                cells.append(f'{key} best {max(values):.4g}, last {values[-1]:.4g}')
            elif values:
                cells.append(f'{key} {values[-1]:.4g}')
        lines.append(f'{name:{width}}  ' + '   '.join(cells))
    return '\n'.join(lines)
