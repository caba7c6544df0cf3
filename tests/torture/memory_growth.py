"""Measure the memory of a training and a test by iteration: resident, and given out by malloc (glibc from 2.33 on)."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from kill_training import ROOT, SMOKE

from mmsparseswin.shapes.dataset import draw_dataset

CONFIG = """
_base_ = {base!r}
custom_imports = dict(imports=['memory_hook'])
custom_hooks = [dict(type='MemoryHook', path={path!r})]
train_dataloader = dict(batch_size=2)
test_dataloader = dict(batch_size=1)
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
"""


def measure(folder: Path, iterations: int) -> dict[str, np.ndarray]:
    """Train and test for about `iterations` iterations each by the commands.

    Returns:
        Bytes by iteration of both, (N, 2): resident, and given out by malloc.
    """
    root = folder / 'shapes'
    draw_dataset(root, images=(8, iterations), size=64, seed=0)
    config, epochs, found = folder / 'memory.py', -(-iterations // 4), {}
    checkpoint = folder / f'run/epoch_{epochs}.pth'
    data, saving = f'data_root={root}/', 'default_hooks.checkpoint.interval=10'
    for name, options in (
        ('train', ['--epochs', epochs, '--work-dir', 'run', '--no-validate', '--cfg-options', data, saving]),
        ('test', [checkpoint, '--work-dir', 'run', '--cfg-options', data]),
    ):
        config.write_text(CONFIG.format(base=str(SMOKE), path=str(folder / name)))
        command = [sys.executable, str(ROOT / f'tools/{name}.py'), str(config), *map(str, options)]
        env = {**os.environ, 'PYTHONPATH': str(Path(__file__).parent)}
        with open(folder / f'{name}.log', 'w') as log:
            code = subprocess.run(command, cwd=folder, env=env, stdout=log, stderr=subprocess.STDOUT).returncode
        if code:
            raise RuntimeError((folder / f'{name}.log').read_text()[-2000:])
        found[name] = np.loadtxt(folder / name)
    return found


def growth(memory: np.ndarray) -> float:
    """Return the bytes by which the median of the last quarter of the iterations exceeds that of the second."""
    quarter = len(memory) // 4
    return float(np.median(memory[-quarter:]) - np.median(memory[quarter : 2 * quarter]))
