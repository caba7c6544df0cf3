"""Train the slim SparseSwinDet with each published fault alone, for tools/experiments/sparse_swin_det.py."""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmsparseswin.benchmark import cpu_budget
from mmsparseswin.benchmark.report import environment
from mmsparseswin.cli import run_config
from mmsparseswin.engine.safe_reader import install_safe_reader
from mmsparseswin.errors import InputError

METRICS = {
    'mAP': 'coco/bbox_mAP',
    'AP50': 'coco/bbox_mAP_50',
    'AP small': 'coco/bbox_mAP_s',
    'AP medium': 'coco/bbox_mAP_m',
}


class Fault(NamedTuple):
    """A published fault as settings of the mended config.

    Attributes:
        says: the fault in a few words.
        settings: key of the config -> its published value; 'SIDE' stands for the longer side of the images.
        in_test: it acts in the test alone, so the mended model is tested with it.
    """

    says: str
    settings: dict[str, Any]
    in_test: bool = False


FAULTS = {
    'blind-map': Fault(
        'levels 5 to 7 made of tokens alone',
        {'model.backbone.token_to_map': 'mlp', 'model.neck.in_channels': 'MLP'},
    ),
    'no-map-norm': Fault('no norm on the maps', {'model.backbone.output_norm': False}),
    'large-anchors': Fault('anchors twice as large', {'model.bbox_head.anchor_generator.octave_base_scale': 4}),
    'half-or-none': Fault(
        'objects that no anchor overlaps by half have none',
        {'model.train_cfg.assigner.min_pos_iou': 0.5, 'model.train_cfg.assigner.match_low_quality': False},
    ),
    'loss-per-image': Fault(
        'loss per image, images without objects teach nothing', {'model.bbox_head.loss_per': 'image'}
    ),
    'batch-norm': Fault('batch norm momentum .9997', {'model.neck.norm_cfg.momentum': 0.9997}),
    'redrawn': Fault('every convolution drawn anew', {'model.redraw_convs': True}),
    'square': Fault(
        'padded to a square, padding in the tokens',
        {
            'model.data_preprocessor.type': 'mmdet.DetDataPreprocessor',
            'model.data_preprocessor.pad_size_divisor': 'SIDE',
        },
    ),
    'no-jitter': Fault('no scale jitter', {'train_dataloader.dataset.pipeline.2.ratio_range': (1.0, 1.0)}),
    'no-decay': Fault('no weight decay', {'optim_wrapper.optimizer.weight_decay': 0.0}),
    'plateau': Fault(
        'no warm-up, plateau of the training loss',
        {
            'train_cfg.anneal': False,
            'param_scheduler': [dict(type='mmsparseswin.TrainLossPlateauLR', patience=3)],
        },
    ),
    'unused-stage': Fault('16.1 million unused parameters', {'model.unused_stage': True}),
    'score-limit': Fault('score limit .2', {'model.test_cfg.score_thr': 0.2}, in_test=True),
    'one-suppression': Fault('suppression across classes', {'model.test_cfg.nms.class_agnostic': True}, in_test=True),
    'no-limit': Fault('no limit of boxes per image', {'model.test_cfg.max_per_img': 1_000_000}, in_test=True),
}
ROWS = ('mended', 'published', *FAULTS)


def settings(row: str, cfg: Config) -> dict[str, Any]:
    """Return the settings of a row: none for the mended one, those of every fault for the published one."""
    chosen = {'mended': [], 'published': list(FAULTS.values())}.get(row) or ([FAULTS[row]] if row in FAULTS else [])
    merged = {key: value for fault in chosen for key, value in fault.settings.items()}
    arch = cfg.model.backbone.arch
    tokens = [2 * arch.embed_dims, 4 * arch.embed_dims, arch.token_dims]
    named = {'SIDE': cfg.model.backbone.img_size, 'MLP': tokens}
    return {key: named.get(value, value) if isinstance(value, str) else value for key, value in merged.items()}


def row_config(args: argparse.Namespace, row: str, seed: int) -> Config:
    """Return the config of one training."""
    cfg = run_config.load_config(str(args.config), {**(args.cfg_options or {}), **args.paths})
    cpu_budget.set_budget(cfg, args.cpu_minutes, seed, str(args.out_dir / f'{row}_{seed}'))
    cfg.merge_from_dict(settings(row, cfg))
    return cfg


def train(cfg: Config, in_test: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Train, and test the model as its config says and with each of the changes `in_test` (name -> settings)."""
    runner, found = cpu_budget.train(cfg)
    found['scores'] = _scores(runner)
    head = runner.model.bbox_head
    plain = head.test_cfg.copy()
    for name, changes in in_test.items():
        changed = Config(dict(model=dict(test_cfg=plain.to_dict())))
        changed.merge_from_dict(changes)
        head.test_cfg = changed.model.test_cfg
        found[name] = _scores(runner)
    head.test_cfg = plain
    return found


def _scores(runner: Runner) -> dict[str, float]:
    metrics = runner.val_loop.run() or {}
    # Without any box the metric is empty.
    return {name: round(float(metrics.get(key, 0.0)), 4) for name, key in METRICS.items()}


def run(args: argparse.Namespace) -> None:
    """Train the rows that have no result yet, seed by seed, and write the results and their table."""
    if unknown := [row for row in args.rows if row not in ROWS]:
        raise InputError(f'--rows {unknown[0]}: choose from {", ".join(ROWS)}')
    install_safe_reader()
    torch.set_num_threads(1)
    trained = [row for row in args.rows if not (row in FAULTS and FAULTS[row].in_test)]
    args.out_dir.mkdir(parents=True, exist_ok=True)
    for seed in range(args.seeds):
        for row in trained:
            cfg = row_config(args, row, seed)
            digest = hashlib.sha256(cfg.pretty_text.encode()).hexdigest()
            result = Path(cfg.work_dir) / 'result.json'
            if result.is_file() and json.loads(result.read_text())['digest'] == digest:
                continue
            tests = {name: fault.settings for name, fault in FAULTS.items() if fault.in_test} if row == 'mended' else {}
            if row == 'published':
                mended = row_config(args, 'mended', seed)
                tests = {'tested as mended': {'model.test_cfg': dict(mended.model.test_cfg, _delete_=True)}}
            found = dict(digest=digest, row=row, seed=seed, **train(cfg, tests))
            result.write_text(json.dumps(found))
            print(f'{row}, seed {seed}: {found["scores"]}, {found["cpu_seconds"]} s of CPU', flush=True)
    report(args, trained)


def report(args: argparse.Namespace, trained: list[str]) -> None:
    """Write all results as JSON and as a table in Markdown, from those of the trainings."""
    found = [
        json.loads((args.out_dir / f'{row}_{seed}' / 'result.json').read_text())
        for row in trained
        for seed in range(args.seeds)
    ]
    facts = dict(environment(), cpu_minutes=args.cpu_minutes, runs=found)
    (args.out_dir / 'results.json').write_text(json.dumps(facts, indent=2) + '\n')
    columns = ['', 'parameters', 'iterations', 'CPU s', *METRICS]
    lines = [f'| {" | ".join(columns)} |', '| --- ' * len(columns) + '|']
    for row in trained:
        runs = [one for one in found if one['row'] == row]
        lines.append(_line(FAULTS[row].says if row in FAULTS else row, runs, 'scores'))
        names = [name for name in runs[0] if isinstance(runs[0][name], dict) and name != 'scores']
        lines += [_line(FAULTS[n].says if n in FAULTS else f'{row}, {n}', runs, n) for n in names]
    (args.out_dir / 'table.md').write_text('\n'.join(lines) + '\n')
    print('\n'.join(lines))


def _line(title: str, runs: list[dict[str, Any]], key: str) -> str:
    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    scores = ' | '.join(f'{mean([run[key][name] for run in runs]):.3f}' for name in METRICS)
    iterations = round(mean([run['iterations'] for run in runs]))
    seconds = round(mean([run['cpu_seconds'] for run in runs]))
    same = key != 'scores'
    counts = '| | ' if same else f'{runs[0]["parameters"]:,} | {iterations} | {seconds} '
    return f'| {title} | {counts}| {scores} |'
