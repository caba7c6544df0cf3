"""Parts that all blocks share: stochastic depth, the MLP, norms before each branch."""

import torch
from torch import Tensor, nn

from mmsparseswin.layers.fast_path import PLAIN, FastPath, has_hooks, linear, recomputed


class DropPath(nn.Module):
    """Stochastic depth: drop a residual branch per sample (arXiv 1603.09382)."""

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor, samples: Tensor | None = None, batch: int = 0) -> Tensor:
        """Zero whole samples of ``x`` (B, ...) with probability ``rate`` in training, and scale up the others.

        Args:
            x: one sample per row; or with ``samples`` (1, T, C), packed tokens of ``batch`` samples.
            samples: (T,) sample of each token.
            batch: number of samples.
        """
        if self.rate == 0.0 or not self.training:
            return x
        keep = 1 - self.rate
        if samples is not None:
            return x * x.new_empty(batch).bernoulli_(keep).div_(keep).index_select(0, samples)[:, None]
        return x * x.new_empty(len(x), *[1] * (x.dim() - 1)).bernoulli_(keep).div_(keep)

    def extra_repr(self) -> str:
        """Show the rate."""
        return f'rate={self.rate:.3f}'


class MLP(nn.Module):
    """Linear, GELU, Linear.

    Args:
        dims: channels in and out.
        hidden: channels between.
        drop: dropout after each linear.
        final_gelu: a second GELU at the end (docs/models/sparse_swin.md, 'SparTa block').
    """

    def __init__(self, dims: int, hidden: int, drop: float = 0.0, final_gelu: bool = False) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dims, hidden), nn.Linear(hidden, dims)
        self.act, self.drop = nn.GELU(), nn.Dropout(drop)
        self.final_gelu = final_gelu

    def forward(self, x: Tensor, fast: FastPath = PLAIN) -> Tensor:
        """(..., dims) -> (..., dims)."""
        x = linear(self.fc2, self.drop(linear(self.fc1, x, fast, self.act)), fast)
        return self.drop(self.act(x) if self.final_gelu else x)


class PreNormBlock(nn.Module):
    """The parts of a block that attends and then transforms, each behind a layer norm.

    Args:
        dims: channels.
        attn: the attention.
        mlp_ratio: hidden channels of the MLP over ``dims``.
        drop: dropout on the MLP's output.
        drop_path: stochastic depth rate.
        norm_eps: epsilon of the layer norms.
    """

    def __init__(
        self,
        dims: int,
        attn: nn.Module,
        mlp_ratio: float = 4.0,
        drop: float = 0.0,
        drop_path: float = 0.0,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dims, eps=norm_eps)
        self.attn = attn
        self.norm2 = nn.LayerNorm(dims, eps=norm_eps)
        self.mlp = MLP(dims, int(dims * mlp_ratio), drop)
        self.drop_path = DropPath(drop_path)
        self.light = False
        self.apply(init_swin)

    def recomputes(self) -> bool:
        """Return True if the backward pass recomputes norms, gathers and GELUs instead of keeping them."""
        return self.light and torch.is_grad_enabled() and not has_hooks(self.attn, self.mlp)

    def transform(self, x: Tensor, fast: FastPath) -> Tensor:
        """The MLP of the normalised tokens: (..., C) -> (..., C)."""
        if not self.recomputes():
            return self.mlp(self.norm2(x), fast)
        mlp = self.mlp
        hidden = recomputed(lambda x: linear(mlp.fc1, self.norm2(x), fast), x)
        return mlp.drop(recomputed(lambda x: linear(mlp.fc2, mlp.drop(mlp.act(x)), fast), hidden))


def init_swin(module: nn.Module) -> None:
    """Initialise as published: linear weights truncated normal of 0.02, biases 0 (docs/models/swin.md)."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
