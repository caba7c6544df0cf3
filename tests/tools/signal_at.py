"""A hook that signals its own process at one iteration: a stop in the middle of an epoch, the same one every time."""

import os
import signal

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class SignalAt(Hook):
    def __init__(self, iteration=None, validation=None, name='SIGTERM', rank=0):
        self.iteration, self.validation, self.rank = iteration, validation, rank
        self.signal = getattr(signal, name)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == self.iteration and runner.rank == self.rank:
            os.kill(os.getpid(), self.signal)

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == self.validation:
            os.kill(os.getpid(), self.signal)
