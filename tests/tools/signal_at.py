"""A hook that signals its own process at one iteration: a stop in the middle of an epoch, the same one every time."""

import multiprocessing
import os
import signal
import subprocess

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class SignalAt(Hook):
    def __init__(self, iteration=None, validation=None, name='SIGTERM', rank=0):
        self.iteration, self.validation, self.rank = iteration, validation, rank
        self.signal = getattr(signal, name)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == self.iteration and runner.rank == self.rank:
            self.send()

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == self.validation:
            self.send()

    def send(self):
        """Signal this process and its data loader workers; these from another process, as a cluster does."""
        if workers := [str(child.pid) for child in multiprocessing.active_children()]:
            subprocess.run(['kill', '-s', self.signal.name, *workers], check=True)
        os.kill(os.getpid(), self.signal)
