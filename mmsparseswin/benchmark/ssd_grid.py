"""Train and time the slim SSDs of the grid for tools/experiments/ssd_grid.py."""

import argparse
import hashlib
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.runner import Runner, load_checkpoint

from mmsparseswin.benchmark import ssd_grid_report
from mmsparseswin.benchmark.report import environment
from mmsparseswin.benchmark.ssd_grid_report import BACKBONES, NECKS, Cell
from mmsparseswin.cli import run_config
from mmsparseswin.engine.safe_reader import install_safe_reader
from mmsparseswin.errors import InputError
from mmsparseswin.locations import folder
from mmsparseswin.shapes.dataset import draw_dataset

CONFIGS = folder('configs')
WIDTH = 64  # channels of the slim necks (256 on COCO)
TIMED_IMAGES, TIMED_ROUNDS = 20, 5


class Job(NamedTuple):
    """One training run of the grid."""

    cell: tuple[str, str]
    seed: int
    cfg: Config
    digest: str  # hash of the whole config

    @property
    def result(self) -> Path:
        """Return the path of the file written when the run is done."""
        return Path(self.cfg.work_dir) / 'result.json'

    def done(self) -> dict[str, Any] | None:
        """Return the result of an earlier run of the same config, or None."""
        try:
            result = json.loads(self.result.read_text())
        except (OSError, ValueError):
            return None
        return result if result.get('digest') == self.digest else None


def chosen(names: Sequence[str] | None) -> list[tuple[str, str]]:
    """Return the (backbone, neck) cells to train, all by default."""
    cells = list(product(BACKBONES, NECKS))
    known = {f'{backbone}_{neck}': (backbone, neck) for backbone, neck in cells}
    if unknown := [name for name in names or () if name not in known]:
        raise InputError(f'--cells {unknown[0]}: choose from {", ".join(known)}')
    return [known[name] for name in names] if names else cells


def slim_config(backbone: str, neck: str, options: dict[str, Any]) -> Config:
    """Load the config of the slim backbone and give it the neck of the COCO config."""
    cfg = run_config.load_config(str(CONFIGS / f'quickstart/ssd_{backbone}_shapes.py'), options)
    full = Config.fromfile(CONFIGS / f'ssd/ssd_{backbone}_{neck}_coco.py')
    if neck != 'none':
        cfg.model.neck = dict(full.model.neck, in_channels=cfg.model.bbox_head.in_channels, out_channels=WIDTH)
        cfg.model.bbox_head.in_channels = [WIDTH] * len(cfg.model.bbox_head.in_channels)
    return cfg


def plan(args: argparse.Namespace) -> list[Job]:
    """List all runs, seed by seed."""
    jobs = []
    options = {**(args.cfg_options or {}), 'data_root': args.data}
    for seed, (backbone, neck) in product(range(args.seeds), chosen(args.cells)):
        cfg = slim_config(backbone, neck, options)
        if args.epochs:
            cfg.train_cfg.update(max_epochs=args.epochs, val_interval=args.epochs)
            cfg.param_scheduler[1].update(T_max=args.epochs, end=args.epochs)
        cfg.randomness = dict(seed=seed)
        cfg.work_dir = str(args.work_dir / f'{backbone}_{neck}' / f'seed_{seed}')
        cfg.default_hooks.checkpoint = dict(
            type='CheckpointHook', interval=cfg.train_cfg.max_epochs, save_optimizer=False, save_param_scheduler=False
        )
        cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
        jobs.append(Job((backbone, neck), seed, cfg, hashlib.sha256(cfg.pretty_text.encode()).hexdigest()))
    return jobs


def train(job: Job) -> tuple[Job, dict[str, Any]]:
    """Train and evaluate in this process and redirect its output to the run's log.txt."""
    folder = Path(job.cfg.work_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / 'log.txt').open('w') as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    torch.set_num_threads(1)
    start = time.perf_counter()
    runner = Runner.from_cfg(job.cfg)
    runner.train()
    score = runner.message_hub.log_scalars.get('val/coco/bbox_mAP')
    result = dict(
        digest=job.digest,
        mAP=float(score.current()) if score else 0.0,  # no score: nothing was detected
        seconds=time.perf_counter() - start,
        iterations=runner.iter,
        images=runner.iter * job.cfg.train_dataloader.batch_size,
        parameters=sum(p.numel() for p in runner.model.parameters()),
        checkpoint=f'epoch_{runner.epoch}.pth',
    )
    job.result.write_text(json.dumps(result))
    return job, result


def train_all(jobs: Sequence[Job], at_once: int) -> float:
    """Train the runs that are not done, each in a fork of this process; return the seconds taken."""
    start = time.perf_counter()
    left = [job for job in jobs if job.done() is None]
    print(f'{len(jobs) - len(left)} runs are done, {len(left)} to go', flush=True)
    torch.set_num_threads(1)  # a fork of a process with a thread pool may hang
    with multiprocessing.get_context('fork').Pool(at_once, maxtasksperchild=1) as pool:
        for number, (job, result) in enumerate(pool.imap_unordered(train, left), start=1):
            name = f'{"_".join(job.cell)} seed {job.seed}'
            minutes = (time.perf_counter() - start) / 60
            print(
                f'[{number}/{len(left)}, {minutes:.1f} min] {name}: mAP {result["mAP"]:.3f}, {result["seconds"]:.0f} s',
                flush=True,
            )
    return time.perf_counter() - start


def measure(jobs: Sequence[Job]) -> dict[tuple[str, str], float]:
    """Return median milliseconds per image, batch 1; all detectors take turns on the same images."""
    init_default_scope('mmdet')
    dataset = DATASETS.build(jobs[0].cfg.val_dataloader.dataset)
    images = [pseudo_collate([dataset[i]]) for i in range(min(TIMED_IMAGES, len(dataset)))]
    models = {}
    for job in jobs:
        model = MODELS.build(job.cfg.model)
        load_checkpoint(model, str(job.result.parent / (job.done() or {})['checkpoint']), 'cpu', logger='silent')
        models[job.cell] = model.eval()
    times: dict[tuple[str, str], list[float]] = {cell: [] for cell in models}
    with torch.inference_mode():
        for image in images[:2] + images * TIMED_ROUNDS:
            for cell, model in models.items():
                start = time.perf_counter()
                model.test_step(image)
                times[cell].append(time.perf_counter() - start)
    return {cell: 1000 * median(seconds[2:]) for cell, seconds in times.items()}


def run(args: argparse.Namespace) -> None:
    """Draw the data set, train, time and report."""
    install_safe_reader()
    if min(args.seeds, args.jobs) < 1:
        raise InputError('--seeds and --jobs must be 1 or more')
    if args.page:
        ssd_grid_report.fill_page(args.page, 'Being measured.')  # refuse a page without marks before the training
    jobs = plan(args)
    draw_dataset(args.data, images=tuple(args.images), size=args.size)
    wall = train_all(jobs, args.jobs)
    milliseconds = measure([job for job in jobs if job.seed == 0])
    results = {(job.cell, job.seed): job.done() or {} for job in jobs}
    cells = []
    for cell in milliseconds:
        runs = [results[cell, seed] for seed in range(args.seeds)]
        scores = tuple(run['mAP'] for run in runs)
        cells.append(Cell(*cell, runs[0]['parameters'], scores, milliseconds[cell]))
    (args.work_dir / 'table.md').write_text(ssd_grid_report.table(cells))
    ssd_grid_report.draw(cells, args.work_dir / 'ssd_grid.png')
    seconds = sum(run['seconds'] for run in results.values())
    facts = dict(environment(), runs=len(jobs), jobs=args.jobs, seconds_of_runs=seconds, seconds_of_this_call=wall)
    facts |= {name: results[jobs[0].cell, 0][name] for name in ('iterations', 'images')}
    ssd_grid_report.write_json(args.work_dir / 'ssd_grid.json', cells, **facts)
    print(ssd_grid_report.table(cells))
    if args.page:
        publish(args.page, args.work_dir, cells, facts)


def publish(page: Path, work_dir: Path, cells: Sequence[Cell], facts: dict[str, Any]) -> None:
    """Fill the page and copy the files it links to its folder."""
    (page.parent / 'images').mkdir(exist_ok=True)
    shutil.copy(work_dir / 'ssd_grid.json', page.parent)
    shutil.copy(work_dir / 'ssd_grid.png', page.parent / 'images')
    minutes = facts['seconds_of_runs'] / facts['jobs'] / 60
    lines = [
        f'`{facts["command"]}` on {facts["date"][:10]}, {facts["cpu"]}, {facts["cores"]} cores:',
        f'{facts["runs"]} runs of {facts["iterations"]} iterations ({facts["images"]} images),',
        f'{facts["jobs"]} side by side, {minutes:.0f} minutes; [all numbers](ssd_grid.json).',
        '',
        ssd_grid_report.table(cells),
        '![mAP over time per image](images/ssd_grid.png)',
    ]
    ssd_grid_report.fill_page(page, '\n'.join(lines))
