"""Curves of trainings, from the scalars that mmengine writes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

_LINES = ('-', '--', ':', '-.')  # of the scores:
_SCORES = ('accuracy/top1', 'accuracy/top5', 'coco/bbox_mAP', 'coco/segm_mAP')


def read_scalars(work_dir: str | Path) -> list[dict[str, Any]]:
    """All records of the runs in a work dir, in the order of training; a resumed run replaces what it repeats.

    Training records have 'epoch', 'iter', 'loss', 'time' (seconds per iteration) and so on; those of an evaluation have
    the scores, and 'step', which mmengine counts in epochs.
    """
    train: dict[int, dict[str, Any]] = {}
    scored: dict[int, dict[str, Any]] = {}
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        lines = path.read_text().splitlines(keepends=True)
        run = [json.loads(line) for line in lines if line.endswith('\n')]  # the last one may just be written
        start = min((record['iter'] for record in run if 'iter' in record), default=0)
        train = {step: record for step, record in train.items() if step < start}
        for record in run:
            (train if 'iter' in record else scored)[record.get('iter', record['step'])] = record
    ends = {record['epoch']: step for step, record in train.items()}  # the last record of each epoch
    ordered = [((step, 0), record) for step, record in train.items()]
    ordered += [((ends.get(epoch, 0), 1), record) for epoch, record in scored.items()]
    return [record for _, record in sorted(ordered, key=lambda pair: pair[0])]


def scores(records: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float, float]]:
    """(epoch, minutes, score) of every evaluation; 0 minutes where nothing logged them."""
    found, minutes = [], 0.0
    for record in records:
        minutes = record.get('minutes', minutes)
        if name in record:
            found.append((float(record['step']), float(minutes), float(record[name])))
    return found


def draw_curves(runs: Mapping[str, Sequence[Mapping[str, Any]]], by: str = 'epoch') -> Figure:
    """Loss and scores of one run or several, over epochs or minutes.

    Args:
        runs: name -> records of :func:`read_scalars`.
        by: 'epoch' or 'minutes'.
    """
    names = [name for name in _SCORES if any(scores(records, name) for records in runs.values())]
    figure = Figure(figsize=(6 * (1 + bool(names)), 4), layout='constrained')
    left, *others = figure.subplots(1, 1 + bool(names), squeeze=False)[0]
    for color, (run, records) in enumerate(runs.items()):
        steps = [record for record in records if 'loss' in record]
        per_epoch: dict[int, int] = {}
        for record in steps:
            per_epoch[record['epoch']] = record['iter']
        length = max(per_epoch.values(), default=1) / max(len(per_epoch), 1)
        x = [record.get('minutes', 0.0) if by == 'minutes' else record['iter'] / length for record in steps]
        left.plot(x, [record['loss'] for record in steps], '.-', color=f'C{color}', markersize=2, label=run)
        for k, name in enumerate(names):
            points = scores(records, name)
            label = name if color == 0 else None  # the colours of runs stand in the other legend
            x = [minutes if by == 'minutes' else epoch for epoch, minutes, _ in points]
            tint = k if len(runs) == 1 else color  # one run: a colour for each score; several: one for each run
            others[0].plot(
                x, [score for *_, score in points], f'o{_LINES[k]}', color=f'C{tint}', markersize=3, label=label
            )
    left.set(xlabel=by, ylabel='training loss')
    left.grid(alpha=0.3)
    left.legend()
    for axes in others:
        axes.set(xlabel=by)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure
