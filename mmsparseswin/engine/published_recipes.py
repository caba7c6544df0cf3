"""Hooks and schedules of published training programs that mmengine lacks, so that recipes run as published.

Not meant for recipes of your own; each class says what it costs.
"""

import math
from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.optim.scheduler import CosineRestartLR, ReduceOnPlateauLR
from mmengine.runner import Runner
from torch import nn
from torch.optim import Optimizer

from mmsparseswin.errors import InputError
from mmsparseswin.registry import HOOKS, PARAM_SCHEDULERS


@HOOKS.register_module()
class EvalModeHook(Hook):
    """Train in evaluation mode from some epoch on: no stochastic depth, no dropout.

    SparseSwin's published program calls ``model.train()`` once before its loop over epochs and ``eval()`` in each test,
    so that all epochs but the first train like this (docs/models/sparse_swin.md, 'Recipe').

    Args:
        begin: first such epoch, counted from 0.
    """

    def __init__(self, begin: int = 1) -> None:
        self.begin = begin

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Undo the ``train()`` with which mmengine starts an epoch."""
        if runner.epoch >= self.begin and runner.model.training:
            runner.model.eval()


@HOOKS.register_module()
class ClipEachTensorHook(Hook):
    """Clip the gradient of every parameter tensor to a norm of its own; any optimizer wrapper, scaled losses included.

    SwinViT's published program does (docs/models/swin.md, 'SwinViT recipe'). Unlike clipping the norm of all gradients
    together, it changes their direction.

    Args:
        max_norm: largest norm of one tensor's gradient.
    """

    def __init__(self, max_norm: float) -> None:
        self.max_norm = max_norm

    def before_train(self, runner: Runner) -> None:
        """Clip in front of every step of the optimizer, when a loss scaler has undone its scaling."""
        runner.optim_wrapper.optimizer.register_step_pre_hook(self._clip)

    def _clip(self, optimizer: Optimizer, *_: Any) -> None:
        for group in optimizer.param_groups:
            for parameter in group['params']:
                nn.utils.clip_grad_norm_(parameter, self.max_norm)


@PARAM_SCHEDULERS.register_module()
class WarmUpRestartLR(CosineRestartLR):
    """Cosine schedule with restarts; each cycle has a linear warm-up of its own.

    See docs/models/swin.md, 'SwinViT recipe'.

    Args:
        optimizer: given by the Runner.
        periods: lengths of the cycles.
        warm_up: steps at the start of each cycle, in which the rate grows from ``eta_min``.
        eta_min: rate at the start and end of each cycle.
        **options: ``begin``, ``end`` and the like, as every scheduler of mmengine. By epoch, as published.
    """

    def __init__(self, optimizer: Any, periods: Sequence[int], warm_up: int, eta_min: float, **options: Any) -> None:
        if not 0 <= warm_up < min(periods):
            raise InputError(f'warm_up {warm_up} must be at least 0 and shorter than every one of periods {periods}')
        self.warm_up = warm_up
        super().__init__(
            optimizer, periods=list(periods), restart_weights=[1.0] * len(periods), eta_min=eta_min, **options
        )

    def _get_value(self) -> list[float]:
        cycle = self.get_position_from_periods(self.last_step, self.cumulative_periods)
        if cycle is None:
            return [group[self.param_name] for group in self.optimizer.param_groups]
        step = self.last_step - (self.cumulative_periods[cycle - 1] if cycle else 0)
        if step < self.warm_up:
            height = step / self.warm_up
        else:
            height = (1 + math.cos(math.pi * (step - self.warm_up) / (self.periods[cycle] - self.warm_up))) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_values]


@PARAM_SCHEDULERS.register_module()
class TrainLossPlateauLR(ReduceOnPlateauLR):
    """Lower the rate once the mean training loss of an epoch has stopped falling; mmengine's looks at validation.

    SparseSwinDet's published program does (docs/models/sparse_swin_det.md, 'Recipe'). It costs the warning that a
    validation gives: a model that learns its training set by heart keeps its rate.

    Args:
        optimizer: given by the Runner.
        **options: ``patience``, ``factor`` and the like, as mmengine's ReduceOnPlateauLR.
    """

    need_val_args = False  # stepped after each epoch of training

    def __init__(self, optimizer: Any, **options: Any) -> None:
        self.iterations = 0
        super().__init__(optimizer, monitor='loss', rule='less', **options)

    def step(self, metrics: dict[str, float] | None = None) -> None:
        """Compare the mean loss of the iterations since the last step; `metrics` are not read."""
        hub = MessageHub.get_current_instance()
        done = hub.get_info('iter') + 1
        mean = hub.get_scalar('train/loss').mean(done - self.iterations)
        self.iterations = done
        super().step({'loss': float(mean)})
        super().step()  # counts the epoch
