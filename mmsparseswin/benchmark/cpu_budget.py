"""Train a config in this process for so many minutes of CPU time, in one thread, and keep the weights."""

import time
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

LAST = 'last.pth'


def set_budget(cfg: Config, cpu_minutes: float, seed: int, work_dir: str) -> None:
    """Let a config train for a budget: float32, rates annealed by the budget, no validation, few files."""
    cfg.param_scheduler = []
    cfg.train_cfg = dict(type='mmsparseswin.CpuBudgetLoop', cpu_minutes=cpu_minutes, anneal=True)
    cfg.optim_wrapper.update(type='OptimWrapper')  # float32
    cfg.optim_wrapper.pop('precision', None)
    cfg.randomness = dict(seed=seed)
    cfg.work_dir = work_dir
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=-1, save_last=False)
    cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    cfg.custom_hooks = []
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)


def train(cfg: Config) -> tuple[Runner, dict[str, Any]]:
    """Train a config of :func:`set_budget`, write its weights to ``work_dir/last.pth`` and say what the budget gave."""
    runner = Runner.from_cfg(cfg)
    start = time.perf_counter()
    runner.train()
    loop: Any = runner.train_loop
    found = dict(
        cpu_seconds=round(loop.cpu_seconds, 1),
        seconds=round(time.perf_counter() - start, 1),
        iterations=runner.iter,
        epochs=round(runner.iter / len(loop.dataloader), 1),
        parameters=sum(p.numel() for p in runner.model.parameters()),
    )
    runner.save_checkpoint(cfg.work_dir, LAST, save_optimizer=False, save_param_scheduler=False)
    return runner, found
