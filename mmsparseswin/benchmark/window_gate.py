"""Train models for equal CPU time and measure what leaving windows out costs, for tools/experiments/window_gate.py."""

import argparse
import hashlib
import json
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmsparseswin.benchmark import cpu_budget
from mmsparseswin.benchmark.report import environment, table
from mmsparseswin.benchmark.sweep import knobs
from mmsparseswin.benchmark.sweep.measure import METRICS, Model, quietly
from mmsparseswin.benchmark.sweep.report import describe
from mmsparseswin.benchmark.timing import rounds, time_process
from mmsparseswin.cli import run_config
from mmsparseswin.engine.safe_reader import install_safe_reader
from mmsparseswin.errors import InputError

SHARES = (0.8, 0.6, 0.4)  # windows kept, in all stages but the last, which has few
LOW = 0.4  # least share that the adaptation draws
SMALL = 0.7  # side of the images of the model that is trained on small ones
NARROW = 2 / 3  # width of the small model


class Row(NamedTuple):
    """A training, and the settings that its model is tested with.

    Attributes:
        says: the training in a few words.
        gated: True if windows are left out in its tests.
        sizes: factors of the image size of its tests.
    """

    says: str
    gated: bool = False
    sizes: tuple[float, ...] = ()


ROWS = {
    'plain': Row('all windows', gated=True, sizes=(0.85, 0.7, 0.5)),
    'adapted': Row('RandomKeepHook', gated=True),
    'small-images': Row(f'trained at {SMALL:g} of the side', sizes=(SMALL,)),
    'small-model': Row('two thirds of the width'),
}


def stages(cfg: Config) -> int:
    """Return the number of stages of the backbone."""
    return len(cfg.model.backbone.arch.depths)


def kept(cfg: Config, share: float) -> tuple[float, ...]:
    """Return ``keep_windows`` of a share: all stages but the last."""
    return (share,) * (stages(cfg) - 1) + (1.0,)


def changes(row: str, cfg: Config) -> dict[str, Any]:
    """Return the settings that make the config the one of a row."""
    if row == 'small-images':
        pipeline = cfg.train_dataloader.dataset.pipeline
        scales = {
            f'train_dataloader.dataset.pipeline.{i}.scale': tuple(round(side * SMALL) for side in step.scale)
            for i, step in enumerate(pipeline)
            if step.type == 'Resize'
        }
        if scales:
            return scales
        side = round(SMALL * cfg.model.backbone.img_size)
        resized = [*pipeline[:-1], dict(type='Resize', scale=(side, side)), pipeline[-1]]
        return {'train_dataloader.dataset.pipeline': resized}
    if row == 'small-model':
        arch = cfg.model.backbone.arch
        narrower = {
            'model.backbone.arch.embed_dims': round(arch.embed_dims * NARROW),
            'model.backbone.arch.num_heads': tuple(round(heads * NARROW) for heads in arch.num_heads),
        }
        part = 'neck' if 'neck' in cfg.model else 'head'
        width = cfg.model[part].in_channels
        narrow = round(width * NARROW) if isinstance(width, int) else [round(one * NARROW) for one in width]
        return narrower | {f'model.{part}.in_channels': narrow}
    return {}


def points(row: str, cfg: Config) -> list[knobs.Point]:
    """Return the settings that the model of a row is tested with."""
    found: list[knobs.Point] = [{}] if row != 'small-images' else []
    if ROWS[row].gated:
        found += [{'keep_windows': kept(cfg, share)} for share in SHARES]
    return found + [{'size': size} for size in ROWS[row].sizes]


def given(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of every training."""
    return {**(args.cfg_options or {}), 'data_root': args.data_root}


def options(args: argparse.Namespace, row: str) -> dict[str, Any]:
    """Return the settings of a row beside the config as it is."""
    return given(args) | changes(row, run_config.load_config(str(args.config), given(args)))


def config(args: argparse.Namespace, row: str) -> Config:
    """Return the config of one training."""
    cfg = run_config.load_config(str(args.config), options(args, row))
    cpu_budget.set_budget(cfg, args.cpu_minutes, args.seed, str(args.out_dir / row))
    if row == 'adapted':
        cfg.custom_hooks = [dict(type='mmsparseswin.RandomKeepHook', low=kept(cfg, LOW), seed=args.seed)]
    return cfg


def run(args: argparse.Namespace) -> None:
    """Train the rows that have no weights yet, test every point, time all in turns, and report."""
    if unknown := [row for row in args.rows if row not in ROWS]:
        raise InputError(f'--rows {unknown[0]}: choose from {", ".join(ROWS)}')
    install_safe_reader()
    torch.set_num_threads(1)
    args.out_dir.mkdir(parents=True, exist_ok=True)
    results = {row: train(args, row) for row in args.rows}
    models: dict[str, Model] = {}
    for row in args.rows:
        cfg = config(args, row)
        weights = str(args.out_dir / row / cpu_budget.LAST)
        of_test = argparse.Namespace(
            config=str(args.config),
            checkpoint=weights,
            cfg_options=options(args, row) if row == 'small-model' else given(args),
            out_dir=args.out_dir / row,
            trust_checkpoint=False,
        )
        results[row]['points'] = []
        for point in points(row, cfg):
            model = Model(of_test, point, args.images)
            scores = model.score()
            name = next((name for name in METRICS if name in scores), None)
            found = dict(point=point, accuracy=scores[name] if name else 0.0, metric=name, scores=scores)
            results[row]['points'].append(found)
            models[f'{row} {describe(point)}'] = model
            print(f'{row}, {describe(point)}: {name} {found["accuracy"]:.4g}', flush=True)
    time_all(args, models, results)
    report(args, results)


def train(args: argparse.Namespace, row: str) -> dict[str, Any]:
    """Train a row, or return the result of an earlier training of the same config."""
    cfg = config(args, row)
    digest = hashlib.sha256(cfg.pretty_text.encode()).hexdigest()
    result = args.out_dir / row / 'result.json'
    if result.is_file() and (found := json.loads(result.read_text()))['digest'] == digest:
        return found
    init_default_scope(cfg.default_scope)
    run_config.check_data(cfg, ('train', 'test'))
    _, found = cpu_budget.train(cfg)
    found = dict(digest=digest, row=row, seed=args.seed, **found)
    result.write_text(json.dumps(found))
    print(f'{row}: {found["iterations"]} iterations in {found["cpu_seconds"]} s of CPU', flush=True)
    return found


def time_all(args: argparse.Namespace, models: dict[str, Model], results: dict[str, Any]) -> None:
    """Add the median CPU milliseconds per image of every point, all in turns."""
    steps = {name: model.step for name, model in models.items()}
    for step in steps.values():
        quietly(step)
    times = list(rounds(steps, time_process, args.rounds, 0.0))
    for row, result in results.items():
        for found in result['points']:
            name = f'{row} {describe(found["point"])}'
            found['milliseconds'] = 1000 * median(one[name] for one in times) / args.images


def report(args: argparse.Namespace, results: dict[str, Any]) -> None:
    """Write all numbers as JSON, as a table in Markdown, and as a picture."""
    runs = list(results.values())
    facts = dict(environment(), cpu_minutes=args.cpu_minutes, images=args.images, rounds=args.rounds, runs=runs)
    args.out_dir.joinpath('results.json').write_text(json.dumps(facts, indent=1) + '\n')
    metric = next((one['metric'] for run in runs for one in run['points'] if one['metric']), METRICS[0])
    slowest = max(one['milliseconds'] for run in runs for one in run['points'])
    rows = [['training', 'test', metric, 'CPU ms per image', 'speed-up']]
    for row, run in results.items():
        rows += [
            [
                ROWS[row].says,
                describe(one['point']),
                f'{one["accuracy"]:.3f}',
                f'{one["milliseconds"]:.1f}',
                f'{slowest / one["milliseconds"]:.2f}',
            ]
            for one in run['points']
        ]
    text = '\n'.join(table(rows))
    args.out_dir.joinpath('table.md').write_text(text + '\n')
    draw(results, metric, args.out_dir / 'curve.png')
    print(text)


def draw(results: dict[str, Any], metric: str, path: Path) -> None:
    """Draw accuracy over time: a line per training and way to be fast."""
    from matplotlib.figure import Figure  # slow to import, and only needed here

    figure = Figure(figsize=(7, 4.2), layout='constrained')
    axes = figure.subplots()
    lines = {
        'windows left out, trained with all': ('plain', 'keep_windows', 'o-', '#d62728'),
        'windows left out, trained for it': ('adapted', 'keep_windows', 'o-', '#1f77b4'),
        'smaller images, trained at full size': ('plain', 'size', 's--', '#7f7f7f'),
        f'smaller images ({SMALL:g} of the side), trained so': ('small-images', 'size', 's', '#2ca02c'),
        'smaller model (2/3 of the width)': ('small-model', None, '^', '#9467bd'),
    }
    for label, (row, knob, style, color) in lines.items():
        found = [one for one in results.get(row, {'points': []})['points'] if not one['point'] or knob in one['point']]
        if found:
            found.sort(key=lambda one: one['milliseconds'])
            across, up = [one['milliseconds'] for one in found], [one['accuracy'] for one in found]
            axes.plot(across, up, style, color=color, label=label)
            for one in found:
                if share := one['point'].get('keep_windows') or one['point'].get('size'):
                    word = f'{share[0] if isinstance(share, tuple) else share:g}'
                    place = (one['milliseconds'], one['accuracy'])
                    axes.annotate(word, place, (4, -10), textcoords='offset points', fontsize=7, color=color)
    axes.set(xlabel='CPU milliseconds per image, one thread', ylabel=metric)
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=130)
