"""Train configs one after the other for equal time, by `tools/train.py`, and summarise their results."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import chain, repeat
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch

from mmsparseswin.benchmark.timing import Step, rounds, time_cpu
from mmsparseswin.cli import run_config
from mmsparseswin.engine.training_curves import draw_curves, read_scalars, scores
from mmsparseswin.errors import InputError
from mmsparseswin.locations import PACKAGE

_WARM_UP, _TIMED = 3, 9


class Pace(NamedTuple):
    """Training speed of a config on this machine."""

    minutes: float  # of an epoch with its validation
    images_per_second: float  # in training
    batch_size: int
    parameters: int

    def epochs(self, minutes: float, config: Path) -> int:
        """Return and print the number of epochs that fit into `minutes`.

        Raises:
            InputError: not one fits.
        """
        count = int(0.97 * minutes / self.minutes)  # 3 % in reserve: the pace is measured on few steps
        pace = f'{self.images_per_second:.0f} images/s, {self.minutes:.1f} minutes per epoch'
        if count < 1:
            raise InputError(f'{config}: {pace}, more than the budget of {minutes:g}')
        print(f'{config.stem}: {self.parameters:,} parameters, {pace}: {count} epochs', flush=True)
        return count


class _Sample(NamedTuple):
    """Steps of training and validation of a config, and their number per epoch."""

    train: Step
    validate: Step
    train_steps: int
    val_steps: int
    batch_size: int
    parameters: int


def measure(configs: Sequence[Path], options: dict[str, Any], work_dir: Path) -> list[Pace]:
    """Time a few steps of training and validation of each config, in turns.

    Args:
        configs: with different file names.
        options: changes to all configs, as from `--cfg-options`.
        work_dir: parent of a work dir per config.
    """
    samples = {config.stem: _sample(config, options, work_dir / config.stem) for config in configs}
    steps = {f'{name} train': sample.train for name, sample in samples.items()}
    steps |= {f'{name} val': sample.validate for name, sample in samples.items()}
    timed = list(rounds(steps, time_cpu, _WARM_UP + _TIMED, seconds=0))[_WARM_UP:]  # the first rounds fill caches

    def pace(name: str, sample: _Sample) -> Pace:
        train, val = (median(times[f'{name} {kind}'] for times in timed) for kind in ('train', 'val'))
        minutes = (train * sample.train_steps + val * sample.val_steps) / 60
        return Pace(minutes, sample.batch_size / train, sample.batch_size, sample.parameters)

    return [pace(name, sample) for name, sample in samples.items()]


def _sample(config: Path, options: dict[str, Any], work_dir: Path) -> _Sample:
    cfg = run_config.load_config(str(config), options)
    run_config.set_work_dir(cfg, str(work_dir), str(config))
    run_config.set_launcher(cfg, 'none')
    run_config.set_precision(cfg, None)
    run_config.set_dataloaders(cfg)
    cfg.custom_hooks, cfg.log_level = None, 'ERROR'
    cfg.experiment_name = (
        f'pace_{config.stem}_{time.monotonic_ns()}'  # mmengine wants a unique name per runner of a process
    )
    runner = run_config.build_runner(cfg)
    loader = runner.build_train_loop(cfg.train_cfg).dataloader
    wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
    batches = chain.from_iterable(repeat(loader))
    validation = runner.val_loop.dataloader
    data = next(iter(validation))

    def train() -> None:
        runner.model.train()
        runner.model.train_step(next(batches), wrapper)

    def validate() -> None:
        runner.model.eval()
        with torch.no_grad():
            runner.model.val_step(data)

    parameters = sum(p.numel() for p in runner.model.parameters())
    return _Sample(train, validate, len(loader), len(validation), cfg.train_dataloader.batch_size, parameters)


def new_folder(path: Path) -> None:
    """Make the folder `path`; logs of an earlier run in it would count as new ones.

    Raises:
        InputError: the folder is not empty.
    """
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()):
        raise InputError(f'{path} is not empty: choose a new --out-dir')


def train(tool: Path, config: Path, work_dir: Path, options: Sequence[str]) -> None:
    """Train a config in a process of its own.

    Args:
        tool: path of `tools/train.py`.
        config: to train.
        work_dir: of the training.
        options: further words of the command line.

    Raises:
        InputError: the training failed; its output is on the screen.
    """
    command = [sys.executable, str(tool), str(config), '--work-dir', str(work_dir), *options]
    path = os.pathsep.join(filter(None, (str(PACKAGE.parent), os.environ.get('PYTHONPATH'))))
    if subprocess.run(command, env={**os.environ, 'PYTHONPATH': path}).returncode:
        raise InputError(f'the training of {config} failed; its log is in {work_dir}')


def summary(work_dir: Path, batch_size: int) -> dict[str, Any]:
    """Summarise a finished training: last and best scores, minutes, images per second."""
    records = read_scalars(work_dir)
    steps = [record for record in records if 'iter' in record]
    found: dict[str, Any] = {
        'epochs': steps[-1]['epoch'],
        'iterations': steps[-1]['iter'],
        'minutes': round(steps[-1].get('minutes', 0.0), 2),
        'images_per_second': round(batch_size / median(record['time'] for record in steps), 1),
        'loss': steps[-1]['loss'],
    }
    for name in ('accuracy/top1', 'accuracy/top5', 'coco/bbox_mAP', 'coco/segm_mAP'):
        points = scores(records, name)
        if points:
            found[name] = round(points[-1][2], 4)
            found[f'{name}, best'] = round(max(score for _, _, score in points), 4)
    return found


def write_results(out: Path, results: dict[str, Any], by: str) -> None:
    """Write results.json, and curves.png of the trainings in the sub-folders that `results['runs']` names."""
    (out / 'results.json').write_text(json.dumps(results, indent=2) + '\n')
    runs = {name: read_scalars(out / name) for name in results['runs']}
    draw_curves(runs, by=by).savefig(out / 'curves.png', dpi=110)
