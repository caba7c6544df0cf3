"""The dumbbell unit of STViT-R: image tokens -> a few semantic tokens per window -> image tokens again.

Six blocks (docs/models/stvit_r.md, 'Dumbbell unit'):

0. a Swin block without shift;
1. each window is pooled to semantic tokens, which attend to the image around their window;
2. they attend to a wider part of it;
3. self attention inside a window of semantic tokens;
4. self attention over all of them;
5. every image token attends to the semantic ones.

Image tokens skip four of the six blocks, which is what a unit saves. The published classifier and detector differ in
neighbourhoods and residuals: ``preset``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmsparseswin.layers.cross_attention import CrossAttention
from mmsparseswin.layers.fast_path import choose
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.neighbourhoods import Neighbourhood, UnitPlan, unit_plan
from mmsparseswin.layers.pooled_keys import pooled
from mmsparseswin.layers.pre_norm import PreNormBlock
from mmsparseswin.layers.resize import resize_positions
from mmsparseswin.layers.swin_block import SwinStage
from mmsparseswin.layers.token_pooling import TokenLogits, max_pool, weighted_pool
from mmsparseswin.layers.windows import window_plan

UNIT = 6  # blocks


class SemanticBlock(PreNormBlock):
    """Norm, cross attention, norm, MLP, each scaled per channel; one norm serves queries and keys.

    Args:
        dims: channels C.
        num_heads: heads.
        mlp_ratio: hidden channels of the MLP over ``dims``.
        qkv_bias: bias on queries, keys and values.
        drop: dropout on both outputs.
        attn_drop: dropout on attention weights.
        drop_path: stochastic depth rate.
        norm_eps: epsilon of the layer norms.
        layer_scale: initial scale of both branches. Published: 1e-5.
        shortcut: add the attention to its queries. The published classifier's block 1 does not.
        bias_side: see :class:`CrossAttention`.
        global_side: learn one token per place of a token grid of this size, added to the queries (published as
            ``use_global``); resized to other token grids.
    """

    def __init__(
        self,
        dims: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        drop: float = 0.0,
        attn_drop: float = 0.0,
        drop_path: float = 0.0,
        norm_eps: float = 1e-5,
        layer_scale: float = 1e-5,
        shortcut: bool = True,
        bias_side: tuple[int, int] | None = None,
        global_side: tuple[int, int] | None = None,
    ) -> None:
        attn = CrossAttention(dims, num_heads, qkv_bias, attn_drop, drop, bias_side)
        super().__init__(dims, attn, mlp_ratio, drop, drop_path, norm_eps)
        self.shortcut, self.global_side = shortcut, global_side
        self.layer_scale_1 = nn.Parameter(torch.full((dims,), layer_scale))
        self.layer_scale_2 = nn.Parameter(torch.full((dims,), layer_scale))
        if global_side is not None:
            self.global_tokens = nn.Parameter(torch.empty(1, global_side[0] * global_side[1], dims))
            nn.init.trunc_normal_(self.global_tokens, std=0.02)

    def forward(
        self,
        x: Tensor,
        grid: Grid,
        context: tuple[Tensor, ...],
        neighbourhood: Neighbourhood,
        side: tuple[int, int] | None = None,
    ) -> Tensor:
        """Attend and transform.

        Args:
            x: (B, N, C) queries, tokens of ``grid``.
            grid: their grid.
            context: tokens (B, M_i, C) that are the keys, one map after the other; none for self attention.
            neighbourhood: which query sees which key.
            side: (height, width) of a window of self attention.

        Returns:
            (B, N, C).
        """
        fast = choose(x, self.attn, self.mlp)
        if self.global_side is not None:
            x = x + resize_positions(self.global_tokens, self.global_side, grid)
        q = self.norm1(x)
        if context and neighbourhood.padded:
            context = *context[:-1], F.pad(context[-1], (0, 0, 0, 1))
        keys = [self.norm1(tokens) for tokens in context] or [q]
        for i, cells in enumerate(neighbourhood.pools):
            if cells is not None:
                keys[i] = pooled(keys[i], cells)
        joined = keys[0] if len(keys) == 1 else torch.cat(keys, 1)
        out = self.layer_scale_1 * self.attn(q, joined, neighbourhood, side, fast=fast)[0]
        x = x + self.drop_path(out) if self.shortcut else out
        return x + self.drop_path(self.layer_scale_2 * self.transform(x, fast))


class TokenGeneration(SemanticBlock):
    """Block 1: pool each cell of a window to a semantic token, which then looks around its window.

    Args:
        pooling: 'max' as published, or 'learned', the weighted mean that the authors describe (docs/models/stvit_r.md,
            'Options'): a logit per image token, softmax inside each cell.
        conv_pos: add a depth-wise 3x3 convolution over the tokens of each window (published as ``use_conv_pos``).
        see_seeds: the keys include the window's own pooled tokens.
        **block: see :class:`SemanticBlock`.
    """

    def __init__(
        self,
        dims: int,
        num_heads: int,
        pooling: str = 'max',
        conv_pos: bool = False,
        see_seeds: bool = False,
        **block,
    ) -> None:
        super().__init__(dims, num_heads, **block)
        self.see_seeds = see_seeds
        self.pool = TokenLogits(dims) if pooling == 'learned' else None
        self.conv_pos = nn.Conv2d(dims, dims, 3, padding=1, groups=dims) if conv_pos else None

    def forward(self, x: Tensor, token_grid: Grid, grid: Grid, plan: UnitPlan, tokens: int) -> Tensor:  # type: ignore[override]
        """Image tokens (B, N, C) -> semantic tokens (B, T, C) of ``token_grid``; ``tokens``: side of a window."""
        seeds = max_pool(x, grid, plan) if self.pool is None else weighted_pool(x, self.pool(x, grid), plan)
        if self.conv_pos is not None:
            seeds = self._add_position(seeds, token_grid, tokens)
        return super().forward(seeds, token_grid, (seeds, x) if self.see_seeds else (x,), plan.generate)

    def _add_position(self, x: Tensor, token_grid: Grid, side: int) -> Tensor:
        assert self.conv_pos is not None
        windows = window_plan(Grid(token_grid.height, token_grid.width), (side, side), False, x.device)
        cut = windows.to_windows(x).view(-1, side, side, x.shape[-1])
        cut = self.conv_pos(cut.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + windows.to_grid(cut.reshape(x.shape[0], -1, x.shape[-1]))


class SemanticStage(SwinStage):
    """Dumbbell units, six blocks each.

    Args:
        blocks: Swin blocks at 0, 6, ..., :class:`TokenGeneration` at 1, 7, ..., :class:`SemanticBlock` elsewhere.
        window: side of a window, in image tokens.
        tokens: side of a window's semantic tokens.
        preset: 'cls' or 'det', see :func:`mmsparseswin.layers.neighbourhoods.unit_plan`.
        masks: 'exact' or 'official', see there.
        global_keys: the most keys of one map where a block sees whole maps, see there.
        downsample: module with ``(x, grid) -> (x, grid)`` run before the blocks.
    """

    leaves_out = False

    def __init__(
        self,
        blocks: list[nn.Module],
        window: int,
        tokens: int,
        preset: str = 'cls',
        masks: str = 'exact',
        global_keys: int | None = None,
        downsample: nn.Module | None = None,
    ) -> None:
        super().__init__(blocks, downsample)
        self.window, self.tokens, self.preset, self.masks = window, tokens, preset, masks
        self.global_keys = global_keys

    def plan(self, grid: Grid, device: torch.device) -> UnitPlan:
        """Which tokens see which, on image tokens of ``grid``."""
        return unit_plan(grid, self.window, self.tokens, self.preset, self.masks, device, self.global_keys)

    def run_blocks(self, x: Tensor, grid: Grid) -> Tensor:
        """The units alone: (B, N, C) tokens of ``grid`` -> the same shape."""
        plan = self.plan(grid, x.device)
        token_grid, side = plan.token_grid, (self.tokens, self.tokens)
        everywhere = plan.token_grid.height, plan.token_grid.width
        for i in range(0, len(self.blocks), UNIT):
            base, generate, regenerate, local, together, recover = self.blocks[i : i + UNIT]
            x = grid.keep_valid(self._run(base, x, grid))
            s = self._run(generate, x, token_grid, grid, plan, self.tokens)
            s = self._run(regenerate, s, token_grid, (s, x) if self.preset == 'cls' else (x,), plan.regenerate)
            s = self._run(local, s, token_grid, (), plan.local, side)
            s = self._run(together, s, token_grid, (), plan.everywhere, everywhere)
            x = self._run(recover, x, grid, (s,), plan.recover)
        return x

    def _run(self, block: nn.Module, *args) -> Tensor:
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(block, *args, use_reentrant=False)
        return block(*args)
