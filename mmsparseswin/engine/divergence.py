"""Stop a training that diverged, and refuse one with nothing to do."""

import math
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmsparseswin.errors import InputError
from mmsparseswin.registry import HOOKS


@HOOKS.register_module()
class DivergenceHook(Hook):
    """Stop a training whose loss stays NaN or Inf.

    The checkpoints written so far stay; :class:`SafeCheckpointHook` adds none with weights that are not finite.

    Args:
        patience: iterations in a row without a finite loss after which the training stops. A single one may be an
            overflow of mixed precision, whose step is skipped.
    """

    def __init__(self, patience: int = 10) -> None:
        if patience < 1:
            raise InputError(f'DivergenceHook: patience={patience} must be at least 1')
        self.patience = patience
        self._bad = 0

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Count losses that are not finite.

        Raises:
            InputError: the last `patience` losses were not finite.
        """
        loss = (outputs or {}).get('loss')
        value = loss.item() if isinstance(loss, Tensor) else loss
        if value is None or math.isfinite(value):
            self._bad = 0
            return
        self._bad += 1
        if self._bad >= self.patience:
            raise InputError(
                f'the training diverged: the loss is {value}, not finite in {self._bad} iterations in a row, the '
                f'last of them iteration {runner.iter + 1}; {kept(runner)}. Lower optim_wrapper.optimizer.lr, warm up '
                'longer, clip gradients (optim_wrapper.clip_grad.max_norm=1) or train with --no-amp'
            )


def kept(runner: Runner) -> str:
    """Return the part of an error message that names the last checkpoint of this run."""
    last = runner.message_hub.runtime_info.get('last_ckpt')
    return f'the last checkpoint is {last}' if last else 'no checkpoint was written before'


def check_length(runner: Runner) -> None:
    """Build the data set and loop of a training and check that an epoch has something to do.

    That there are epochs is checked in the config (``cli/config_check.py``). To call before ``runner.train()``:
    schedules that are counted in epochs cannot be built of empty ones.

    Raises:
        InputError: no iteration or no class.
    """
    loader = runner.train_loop.dataloader
    classes = getattr(loader.dataset, 'metainfo', {}).get('classes')
    if classes is not None and not len(classes):
        raise InputError(
            'the training set has no class to learn; name them in train_dataloader.dataset.metainfo.classes'
        )
    if len(loader) < 1:
        processes = get_world_size()
        size = getattr(loader, 'batch_size', None) or getattr(loader.batch_sampler, 'batch_size', '?')
        raise InputError(
            f'an epoch has 0 iterations: {len(loader.dataset)} images give no batch of {size} for each of {processes} '
            'process(es), and drop_last leaves out smaller ones; lower train_dataloader.batch_size or set '
            'train_dataloader.drop_last=False'
        )
