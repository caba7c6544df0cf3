"""Penalties on the attention of sparse tokens, for any model that holds a SparseSwin.

See docs/models/sparse_swin.md, 'Attention penalties'.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from mmsparseswin.errors import InputError
from mmsparseswin.layers.sparse_stage import SparseStage
from mmsparseswin.registry import HOOKS, MODELS

FORMS = ('l1_sum', 'l2_sum', 'l2_mean', 'entropy')


@MODELS.register_module()
class AttentionPenalty(nn.Module):
    """Loss on attention weights; each row of them is a distribution over keys.

    - 'l1_sum' (published): the sum of all weights. Rows sum to 1, so this is the number of rows: a constant without a
      gradient. It shifts the loss and trains nothing.
    - 'l2_sum' (published): the sum of squares. Least where attention is uniform, so it spreads attention rather than
      making it sparse; it grows with batch, heads, tokens and layers.
    - 'l2_mean': the mean over rows of the same, 1 / keys (uniform) to 1 (one key); independent of the batch.
    - 'entropy': the mean entropy of a row over that of a uniform one, 0 (one key) to 1 (uniform). Less is sparser.

    Args:
        form: one of the above.
        loss_weight: its weight; published 1e-4 and 1e-5 for the sums. Negative turns it round.
    """

    def __init__(self, form: str = 'entropy', loss_weight: float = 1.0) -> None:
        super().__init__()
        if form not in FORMS:
            raise InputError(f'form {form!r} is unknown; choose one of {list(FORMS)}')
        self.form, self.loss_weight = form, loss_weight

    def forward(self, weights: Sequence[Tensor]) -> Tensor:
        """Weights (B, heads, queries, keys) of several blocks, possibly of one image each -> a number."""
        total = torch.stack([self._sum(w.float()) for w in weights]).sum()
        if not self.form.endswith('_sum'):
            total = total / sum(w[..., 0].numel() for w in weights)
        return self.loss_weight * total

    def _sum(self, w: Tensor) -> Tensor:
        if self.form == 'l1_sum':
            return w.abs().sum()
        if self.form == 'entropy':
            return torch.special.entr(w.clamp(min=torch.finfo(w.dtype).tiny)).sum() / torch.tensor(w.shape[-1]).log()
        return w.square().sum()


@HOOKS.register_module()
class AttentionPenaltyHook(Hook):
    """Adds ``loss_attention`` to the losses of a model, whatever its head: a classifier, a detector.

    Only the blocks of sparse tokens are asked for their weights, in training steps, while the hook is there. A model
    wrapped for several processes gets it too. Gradient checkpointing of the sparse stage is switched off: it would
    compute all weights twice.

    Args:
        loss: an :class:`AttentionPenalty`, or any loss that takes a list of weights (B, heads, queries, keys).
    """

    def __init__(self, loss: dict[str, Any] | None = None) -> None:
        self.loss = MODELS.build({'type': 'mmsparseswin.AttentionPenalty', **(loss or {})})
        self._weights: list[Tensor] = []

    def before_train(self, runner: Runner) -> None:
        """Attach to the runner's model."""
        model = runner.model
        while is_model_wrapper(model):
            model = model.module
        self.attach(model)

    def attach(self, model: nn.Module) -> None:
        """Have ``model(..., mode='loss')`` return the penalty among its losses.

        Raises:
            InputError: the model holds no sparse tokens.
        """
        stages = [module for module in model.modules() if isinstance(module, SparseStage)]
        if not stages:
            raise InputError(f'AttentionPenaltyHook: {type(model).__name__} has no SparseSwin, hence no sparse tokens')
        for stage in stages:
            stage.with_cp = False
            for block in stage.blocks:
                block.register_forward_pre_hook(self._ask, with_kwargs=True)
                block.register_forward_hook(self._keep)
        model.register_forward_pre_hook(self._forget)
        model.register_forward_hook(self._add)

    def _forget(self, _: nn.Module, args: tuple) -> None:
        self._weights.clear()

    def _ask(self, block: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]] | None:
        return (args, {**kwargs, 'need_weights': True}) if torch.is_grad_enabled() else None

    def _keep(self, block: nn.Module, args: tuple, output: tuple[Tensor, Tensor | None]) -> None:
        if torch.is_grad_enabled() and output[1] is not None:
            self._weights.append(output[1])

    def _add(self, model: nn.Module, args: tuple, losses: Any) -> dict[str, Any] | None:
        if not (isinstance(losses, dict) and self._weights):
            return None
        penalty = self.loss(self._weights)
        self._weights.clear()
        return {**losses, 'loss_attention': penalty}
