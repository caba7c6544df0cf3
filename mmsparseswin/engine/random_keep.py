"""Train a model for windows that are left out: another share in every iteration."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmsparseswin.backbones.swin_family import SwinFamily
from mmsparseswin.errors import InputError
from mmsparseswin.registry import HOOKS


@HOOKS.register_module()
class RandomKeepHook(Hook):
    """Draw ``keep_windows`` of the model's backbone anew for every training iteration (docs/sparsity.md).

    Each stage draws a share between ``low`` and 1 of its own. The draw depends on the seed and the number of the
    iteration alone, so that all ranks draw the same, and a resumed training goes on with the shares of the unbroken
    one. Validation and checkpoints have the shares of the config.

    Args:
        low: least share, in (0, 1]; one number for all stages of Swin windows, or one per stage (1: never leaves any
            out).
        seed: of the draw.

    Raises:
        InputError: before the training, if the model has no such backbone, or ``low`` is no share.
    """

    def __init__(self, low: float | Sequence[float] = 0.4, seed: int = 0) -> None:
        self.low, self.seed = low, seed
        self._own: list[tuple[SwinFamily, tuple[float, ...], tuple[float, ...]]] = []

    def before_train(self, runner: Runner) -> None:
        """Find the backbones and their least shares."""
        model: Any = runner.model
        while is_model_wrapper(model):
            model = model.module
        self.attach(model)

    def attach(self, model: nn.Module) -> None:
        """Draw for the backbones inside ``model``."""
        self._own = []
        for backbone in model.modules():
            if isinstance(backbone, SwinFamily):
                own = backbone.keep_windows
                backbone.set_keep_windows(self.low, backbone.keep_threshold)
                self._own.append((backbone, own, backbone.keep_windows))
                backbone.set_keep_windows(own, backbone.keep_threshold)
        if not self._own:
            raise InputError(f'RandomKeepHook: {type(model).__name__} has no backbone with keep_windows')

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Set the shares of this iteration."""
        generator = torch.Generator().manual_seed(hash((self.seed, runner.iter)) % 2**63)
        for backbone, _, lows in self._own:
            drawn = torch.rand(len(lows), generator=generator).tolist()
            shares = [low + (1 - low) * one for low, one in zip(lows, drawn, strict=True)]
            backbone.set_keep_windows(shares, backbone.keep_threshold)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Set the shares of the config again: a validation may follow."""
        for backbone, own, _ in self._own:
            backbone.set_keep_windows(own, backbone.keep_threshold)
