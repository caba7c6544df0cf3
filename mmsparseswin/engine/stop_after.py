"""Hook that ends a training after a given time."""

import time
from typing import Any

from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmsparseswin.registry import HOOKS


@HOOKS.register_module()
class StopAfterHook(Hook):
    """Ends a training by epochs once another epoch and its validation would pass the limit; logs ``minutes``.

    The epoch that ends is validated and saved as any other. The limit counts from the start of this run, so a run that
    is resumed gets it anew. To anneal the learning rate within the limit, choose the number of epochs accordingly
    (``tools/train.py --epochs``); this hook guards it.

    Args:
        minutes: the limit on the clock; None to log minutes only.
    """

    def __init__(self, minutes: float | None = None) -> None:
        self.minutes = minutes

    def before_train(self, runner: Runner) -> None:
        """Start the clock."""
        self._start = self._last = time.monotonic()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Log the time since the start."""
        runner.message_hub.update_scalar('train/minutes', (time.monotonic() - self._start) / 60)

    def after_train_epoch(self, runner: Runner) -> None:
        """Look at the clock; all processes do as the first one says."""
        now = time.monotonic()
        round_trip, self._last = now - self._last, now  # this epoch, and the validation of the one before
        if self.minutes is None:
            return
        stop = [now - self._start + round_trip > self.minutes * 60]
        broadcast_object_list(stop)
        if stop[0] and runner.epoch + 1 < runner.max_epochs:
            print_log(
                f'stopped after epoch {runner.epoch + 1} of {runner.max_epochs}: the next would pass the limit of '
                f'{self.minutes:g} minutes',
                logger='current',
            )
            # The loop looks at `stop_training` after the validation, which is due now.
            runner.train_loop.val_interval = 1
            runner.train_loop.stop_training = True
