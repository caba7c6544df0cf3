"""Kill a training at seeded moments, resume it, and compare it with the run that was never killed.

A slim SparseSwin detector trains on the embedded shapes with flips and drop path, saves every third iteration and keeps
one checkpoint. Most attempts run ``tools/train.py`` in a fork of a process that has imported the libraries; some run
the command itself.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from deaths import TRAIN, count_saving, kill_at_line, kill_in_write, train
from forked_tools import import_libraries

from mmsparseswin.shapes.dataset import draw_dataset

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / 'configs/quickstart/cascade_sparseswin_smoke.py'
EVERY = 3  # iterations between two checkpoints
CONFIG = """
_base_ = {base!r}
data_root = {root!r}
model = dict(backbone=dict(drop_path_rate=0.3))
train_pipeline = _base_.train_pipeline
train_pipeline[3:3] = [dict(type='RandomFlip', prob=0.5)]
train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
train_cfg = dict(max_epochs={epochs})
val_cfg = val_dataloader = val_evaluator = None
default_hooks = dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval={every}, max_keep_ckpts=1,
                                     save_best=None))
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])  # tensorboard takes a second to start
randomness = dict(seed=0)
"""


def write_config(folder: Path, epochs: int) -> Path:
    """Draw 8 pictures (4 iterations an epoch) and write the config."""
    root = folder / 'shapes'
    draw_dataset(root, images=(8, 4), size=64, seed=0)
    path = folder / 'killed.py'
    path.write_text(CONFIG.format(base=str(SMOKE), root=f'{root}/', epochs=epochs, every=EVERY))
    return path


@dataclass
class Kill:
    """A planned death.

    Attributes:
        kind: 'time': `seconds` after the start; 'command': the command itself, `seconds` after its first iteration;
            'line': before line `number` of the functions that save, counted from the start; 'bytes': when a `share` of
            write `number` is on the disk.
    """

    kind: str
    seconds: float = 0.0
    number: int = 0
    share: float = 0.0

    def __str__(self) -> str:
        if self.kind == 'line':
            return f'before line {self.number} of saving'
        if self.kind == 'bytes':
            return f'after {self.share:.0%} of write {self.number}'
        return f'after {self.seconds:.2f} s' + (' (the command itself)' if self.kind == 'command' else '')


@dataclass
class Report:
    """What `count` kills did."""

    kinds: Counter = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    runs: int = 0  # that came to their end
    unequal: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = ', '.join(f'{number} by {kind}' for kind, number in sorted(self.kinds.items()))
        return (
            f'{self.kinds.total()} kills ({kinds}): {len(self.lost)} checkpoints lost, {len(self.refusals)} refusals; '
            f'{self.runs} runs came to their end, {len(self.unequal)} differ from the unbroken one'
        )

    @property
    def faults(self) -> list[str]:
        """Everything that must not happen, one line each."""
        return [*self.lost, *self.refusals, *self.unequal]


class Torture:
    """Kill trainings of one config in `folder` and keep a report."""

    def __init__(self, folder: Path, seed: int = 0, epochs: int = 6) -> None:
        import_libraries()
        import mmsparseswin.cli.run_config
        import mmsparseswin.detection.data_check.datasets
        import mmsparseswin.engine  # noqa: F401

        self.folder, self.random, self.report = folder, random.Random(seed), Report()
        self.config = write_config(folder, epochs)
        start = time.monotonic()
        code = self._fork('whole', [], lambda: count_saving(folder / 'counts.json'))
        self.seconds = time.monotonic() - start
        if code:
            raise RuntimeError((folder / 'whole.log').read_text()[-3000:])
        self.losses, self.steps = _losses(folder / 'whole'), 4 * epochs
        if sorted({step for step, _ in self.losses}) != list(range(1, self.steps + 1)):
            raise RuntimeError(f'the unbroken run logged {len(self.losses)} losses of {self.steps} iterations')
        self.lines, self.writes = json.loads((folder / 'counts.json').read_text())

    def run(self, count: int, commands: int = 0, tell: Callable[[str], None] = print) -> Report:
        """Kill `count` times, `commands` of them the command itself; let the last run come to its end."""
        plans = [self._plan() for _ in range(count - commands)]
        plans += [Kill('command', seconds=self.random.uniform(0, self.seconds / 2)) for _ in range(commands)]
        self.random.shuffle(plans)
        name, newest = 'run1', 0
        while True:
            plan = plans[-1] if plans else None
            code, log = self._attempt(name, plan)
            work_dir = self.folder / name
            if code == -signal.SIGKILL and plan:
                plans.pop()
                self.report.kinds[plan.kind] += 1
                newest = self._look(work_dir, newest, f'{name}, killed {plan}', tell)
                continue
            if code != 0:
                text = log.read_text(errors='replace').strip().splitlines()
                self.report.refusals.append(f'{name}: exit code {code}: {text[-1] if text else "no output"}')
                tell(self.report.refusals[-1])
            else:
                self._compare(work_dir)
                tell(f'{name}: came to its end')
                if plan:
                    plan.seconds *= 0.6  # the machine is faster than when the moment was drawn
                if not plans:
                    return self.report
            if len(self.report.refusals) > 5:
                return self.report
            name, newest = f'run{int(name[3:]) + 1}', 0

    def _plan(self) -> Kill:
        kind = self.random.choice(['time', 'time', 'line', 'line', 'bytes'])
        if kind == 'time':
            return Kill(kind, seconds=self.random.uniform(0.2, self.seconds))
        # Early in an attempt, so that a run meets several.
        number = self.random.randint(1, max(1, (self.lines if kind == 'line' else self.writes) // 3))
        return Kill(kind, number=number, share=self.random.random())

    def _attempt(self, name: str, plan: Kill | None) -> tuple[int, Path]:
        log = self.folder / f'{name}.log'
        if plan is None or plan.kind == 'time':
            return self._fork(name, ['--resume'], None, plan.seconds if plan else None), log
        if plan.kind == 'command':
            command = [sys.executable, str(TRAIN), *self._arguments(name), '--resume']
            with log.open('w') as out:
                process = subprocess.Popen(command, cwd=self.folder, stdout=out, stderr=subprocess.STDOUT)
                while process.poll() is None and 'Epoch(train)' not in log.read_text(errors='replace'):
                    time.sleep(0.02)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(plan.seconds), log
                process.kill()
                return process.wait(), log
        prepare = {'line': kill_at_line, 'bytes': kill_in_write}[plan.kind]
        return self._fork(name, ['--resume'], lambda: prepare(plan.number, plan.share)), log

    def _arguments(self, name: str) -> list[str]:
        return [str(self.config), '--work-dir', str(self.folder / name), '--no-amp']

    def _fork(
        self, name: str, options: list[str], prepare: Callable[[], None] | None, seconds: float | None = None
    ) -> int:
        """Run tools/train.py in a fork; return its exit code, negative for a signal."""
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            train([*self._arguments(name), *options], self.folder, self.folder / f'{name}.log', prepare)
        if seconds is not None:
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    return os.waitstatus_to_exitcode(status)
                time.sleep(0.005)
            os.kill(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def _look(self, work_dir: Path, before: int, what: str, tell: Callable[[str], None]) -> int:
        """Return the iteration of the newest whole checkpoint after a kill, and note one that was lost."""
        newest, whole, broken = 0, 0, 0
        for path in work_dir.glob('*.pth'):
            try:
                newest = max(newest, torch.load(path, weights_only=False)['meta']['iter'])
                whole += 1
            except Exception:  # of any kind, as the file may hold anything
                broken += 1
        reached = max((step for step, _ in _losses(work_dir)), default=0)
        due = max(before, (reached - 1) // EVERY * EVERY)  # iteration `reached` began after this checkpoint was saved
        tell(f'{what}: reached iteration {reached}, whole checkpoints {whole} (newest {newest}), broken {broken}')
        if newest < due or broken:
            self.report.lost.append(f'{what}: newest whole checkpoint {newest}, due {due}, broken {broken}')
        return newest

    def _compare(self, work_dir: Path) -> None:
        """Compare all losses of a run, those of repeated iterations too, and its last weights."""
        self.report.runs += 1
        if _losses(work_dir) - self.losses or {step for step, _ in _losses(work_dir)} != set(range(1, self.steps + 1)):
            self.report.unequal.append(f'{work_dir.name}: losses')
        last = sorted(self.folder.glob('whole/*.pth'))[-1].name
        expected, got = (
            torch.load(self.folder / name / last, weights_only=False)['state_dict'] for name in ('whole', work_dir.name)
        )
        if not all(torch.equal(value, got[key]) for key, value in expected.items()):
            self.report.unequal.append(f'{work_dir.name}: weights')


def _losses(work_dir: Path) -> set[tuple[int, float]]:
    """Return (iteration, loss) of all starts; a kill may cut the last line of each off."""
    found = set()
    for path in work_dir.glob('*/vis_data/scalars.json'):
        for line in path.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                record = json.loads(line)
                if 'loss' in record:
                    found.add((record['step'], record['loss']))
    return found
