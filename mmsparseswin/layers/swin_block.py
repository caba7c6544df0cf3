"""Swin block and stage (arXiv 2103.14030, section 3)."""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmsparseswin.layers.attention import WindowAttention
from mmsparseswin.layers.chunked import chunk_size, forward_in_chunks, run_chunks
from mmsparseswin.layers.fast_path import FastPath, choose, recomputed
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.pre_norm import PreNormBlock
from mmsparseswin.layers.window_gate import KeptWindows, Phase, choose_windows
from mmsparseswin.layers.windows import WindowPlan, window_plan


class SwinBlock(PreNormBlock):
    """Norm, window attention, norm, MLP, each with a residual (Swin, figure 3).

    Args:
        dims: channels.
        num_heads: heads.
        window: (height, width) of a window.
        shift: shift the windows by half a window.
        mlp_ratio: hidden channels of the MLP over ``dims``.
        qkv_bias: bias on queries, keys and values.
        drop: dropout on both outputs.
        attn_drop: dropout on attention weights.
        drop_path: stochastic depth rate.
        norm_eps: epsilon of the layer norms.
        shift_single: shift an axis that one window covers, too.
    """

    attn: WindowAttention

    def __init__(
        self,
        dims: int,
        num_heads: int,
        window: tuple[int, int],
        shift: bool = False,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        drop: float = 0.0,
        attn_drop: float = 0.0,
        drop_path: float = 0.0,
        norm_eps: float = 1e-5,
        shift_single: bool = False,
    ) -> None:
        attn = WindowAttention(dims, num_heads, window, qkv_bias, attn_drop, drop)
        super().__init__(dims, attn, mlp_ratio, drop, drop_path, norm_eps)
        self.shift, self.shift_single = shift, shift_single

    @property
    def phase(self) -> Phase:
        """Return what makes the windows of this block on a grid."""
        return self.attn.window, self.shift, self.shift_single

    def forward(self, x: Tensor, grid: Grid, kept: KeptWindows | None = None) -> Tensor:
        """(B, N, C) tokens of ``grid`` -> the same shape; tokens outside the windows ``kept`` stay as they are."""
        fast = choose(x, self.attn, self.mlp)
        tokens = chunk_size(self, fast)
        if kept is not None:
            return kept.put_back(x, self._run_kept(kept.take(x), kept, tokens, fast))
        if tokens:
            return forward_in_chunks(self, x, grid, self.shift, self.shift_single, tokens, fast)
        plan = window_plan(grid, self.attn.window, self.shift, x.device, self.shift_single)
        x = x + self.drop_path(self.attend(x, plan, fast))
        return x + self.drop_path(self.transform(x, fast))

    def _run_kept(self, x: Tensor, kept: KeptWindows, tokens: int, fast: FastPath) -> Tensor:
        """(1, T, C) packed tokens -> the same shape."""
        if tokens:
            return run_chunks(self, x, kept.chunks(tokens), tokens, fast)
        x = x + self.drop_path(self.attend(x, kept.plan, fast), kept.images, kept.batch)
        return x + self.drop_path(self.transform(x, fast), kept.images, kept.batch)

    def attend(self, x: Tensor, plan: WindowPlan, fast: FastPath) -> Tensor:
        """The attention of the normalised tokens inside the windows of ``plan``: (B, N, C) -> (B, N, C)."""
        if not self.recomputes():
            return self.attn(self.norm1(x), plan, fast=fast)[0]
        qkv = recomputed(lambda x: self.attn.project(self.norm1(x), plan, fast), x)
        return self.attn.mix(qkv, plan, fast=fast)[0].view(x.shape)


class SwinStage(nn.Module):
    """An optional downsampling, then blocks; every second block is shifted.

    Args:
        blocks: the blocks, in order.
        downsample: module with ``(x, grid) -> (x, grid)`` run before them.
        with_cp: recompute each block's activations in the backward pass.

    Attributes:
        keep: share of the windows of an image that the blocks compute; the others keep their residual
            (:mod:`mmsparseswin.layers.window_gate`).
        threshold: least score of a window that is computed.
        leaves_out: True if the blocks are all Swin blocks, which can leave windows out.
    """

    leaves_out = True

    def __init__(self, blocks: list[nn.Module], downsample: nn.Module | None = None, with_cp: bool = False) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.ModuleList(blocks)
        self.with_cp = with_cp
        self.keep, self.threshold = 1.0, 0.0

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """(B, N, C) tokens of ``grid`` -> tokens of the returned grid."""
        if self.downsample is not None:
            x, grid = self.downsample(x, grid)
        return self.run_blocks(x, grid), grid

    def run_blocks(self, x: Tensor, grid: Grid) -> Tensor:
        """The blocks alone: (B, N, C) tokens of ``grid`` -> the same shape."""
        kept: dict[Phase, KeptWindows] = {}
        if self.keep < 1 or self.threshold > 0:
            phases = [block.phase for block in self.blocks]
            kept = choose_windows(x, grid, phases, self.keep, self.threshold)  # type: ignore[arg-type]
        for block in self.blocks:
            args = (x, grid, kept[block.phase]) if kept and block.phase in kept else (x, grid)  # type: ignore[index]
            if self.with_cp and torch.is_grad_enabled():
                x = checkpoint(block, *args, use_reentrant=False)
            else:
                x = block(*args)
        return x
