"""Train for so many minutes of CPU time, whatever else the machine does."""

import math
import time
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from mmsparseswin.errors import InputError
from mmsparseswin.registry import LOOPS

_ENDLESS = 10**6  # epochs
_LOWEST = 0.01  # share of the learning rate at both ends


@LOOPS.register_module()
class CpuBudgetLoop(EpochBasedTrainLoop):
    """Train by epochs until this process has used its CPU time; loading of data counts, validation is left to others.

    On a shared machine the clock tells nothing of the work done. One thread, so that CPU time is the time of the work.

    Args:
        runner: given by the Runner.
        dataloader: given by the Runner; it must load in this process (`num_workers=0`).
        cpu_minutes: the budget.
        anneal: let the learning rate grow linearly over a tenth of the budget and fall by a cosine, both by the share
            of the budget used; False leaves it to ``param_scheduler``.

    Attributes:
        cpu_seconds: used so far.
    """

    def __init__(
        self, runner: Runner, dataloader: DataLoader | dict[str, Any], cpu_minutes: float, anneal: bool = True
    ) -> None:
        super().__init__(runner, dataloader, max_epochs=_ENDLESS, val_interval=_ENDLESS)
        if self.dataloader.num_workers:
            raise InputError('train_dataloader.num_workers must be 0: CPU time of other processes is not counted')
        self.budget, self.anneal, self.cpu_seconds = 60 * cpu_minutes, anneal, 0.0
        self._start: float | None = None

    def run_epoch(self) -> None:
        """Train one epoch, or what is left of the budget."""
        if self._start is None:
            self._start = time.process_time()
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for index, batch in enumerate(self.dataloader):
            if self.anneal:
                self._set_rate(min(self.cpu_seconds / self.budget, 1.0))
            self.run_iter(index, batch)
            self.cpu_seconds = time.process_time() - self._start
            self._max_iters = math.ceil(self._iter * max(self.budget / self.cpu_seconds, 1.0))  # for the time left
            if self.cpu_seconds >= self.budget:
                self.stop_training = True
                break
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _set_rate(self, share: float) -> None:
        """Set the learning rate at this share of the budget."""
        height = min(share / 0.1, (1 + math.cos(math.pi * max(share - 0.1, 0) / 0.9)) / 2)
        for group in self.runner.optim_wrapper.optimizer.param_groups:
            group.setdefault('initial_lr', group['lr'])
            group['lr'] = group['initial_lr'] * max(height, _LOWEST)
