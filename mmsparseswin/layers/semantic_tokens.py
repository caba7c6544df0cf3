"""The dumbbell unit of STViT-R: image tokens -> a few semantic tokens per window -> image tokens again.

Six blocks (spec sparseswin_stvit.md, C2 and D2): 0 a Swin block without shift; 1 pools each window to semantic tokens,
which look at the image around their window; 2 they look again, farther; 3 they attend to one another in a window and 4
everywhere; 5 every image token looks at the semantic ones. The image tokens skip four of six blocks, which is what a
unit saves. Published are a classifier and a detector that differ in neighbourhoods and residuals: ``preset``.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmsparseswin.layers.attention import attend
from mmsparseswin.layers.blocks import MLP, DropPath, SwinStage, init_swin
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.neighbourhoods import MASKED, Neighbourhood, UnitPlan, unit_plan
from mmsparseswin.layers.resize import resize_positions
from mmsparseswin.layers.windows import window_plan

UNIT = 6  # blocks
POOLING = ('max', 'learned')


class CrossAttention(nn.Module):
    """Multi-head attention of queries in windows to the keys around them, projected before windows are taken.

    Args:
        dims: channels C.
        num_heads: heads.
        qkv_bias: learn a bias on queries, keys and values.
        attn_drop: dropout on the attention weights.
        proj_drop: dropout on the output.
        bias_side: for self attention, learn a relative position bias for offsets below this many tokens; farther ones
            take the bias at the border of the table.
    """

    def __init__(
        self,
        dims: int,
        num_heads: int,
        qkv_bias: bool = True,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        bias_side: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.num_heads, self.attn_drop, self.bias_side = num_heads, attn_drop, bias_side
        self.q = nn.Linear(dims, dims, bias=qkv_bias)
        self.kv = nn.Linear(dims, 2 * dims, bias=qkv_bias)
        self.proj = nn.Linear(dims, dims)
        self.proj_drop = nn.Dropout(proj_drop)
        if bias_side is not None:
            offsets = (2 * bias_side[0] - 1) * (2 * bias_side[1] - 1)
            self.relative_position_bias_table = nn.Parameter(torch.empty(offsets, num_heads))
            nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, x: Tensor, context: Tensor, near: Neighbourhood, side: tuple[int, int] | None = None) -> Tensor:
        """Attend.

        Args:
            x: (B, N, C) normalised queries.
            context: (B, M, C) normalised keys, with a zero token last (normalised too) if ``near.padded``.
            near: which query sees which key.
            side: (height, width) of the tokens in a window, where there is a relative position bias.

        Returns:
            (B, N, C).
        """
        batch, count, dims = x.shape
        q, kv = self.q(x), self.kv(context)
        if near.queries is not None and near.keys is not None:
            q = q.index_select(1, near.queries)
            kv = kv.index_select(1, near.keys)
        # Windows join the batch: (B * windows, heads, slots, d)
        q = q.view(batch * near.windows, -1, self.num_heads, dims // self.num_heads).transpose(1, 2)
        k, v = kv.view(batch * near.windows, -1, 2, self.num_heads, dims // self.num_heads).permute(2, 0, 3, 1, 4)
        out, _ = attend(q, k, v, self._bias(near, batch, side), self.attn_drop if self.training else 0.0)
        out = out.transpose(1, 2).reshape(batch, -1, dims)
        if near.inverse is not None:
            out = out.index_select(1, near.inverse)
        return self.proj_drop(self.proj(out.view(batch, count, dims)))

    def _bias(self, near: Neighbourhood, batch: int, side: tuple[int, int] | None) -> Tensor | None:
        """Mask and relative position bias, broadcast to (B * windows, heads, queries, keys)."""
        mask = near.mask
        if mask is not None and near.keys is not None:
            mask = mask.expand(batch, -1, -1).flatten(0, 1)[:, None, None]
        if self.bias_side is None or side is None:
            return mask
        index = _offset_index(side, self.bias_side, self.relative_position_bias_table.device)
        cells = side[0] * side[1]
        bias = self.relative_position_bias_table.index_select(0, index).view(1, cells, cells, -1).permute(0, 3, 1, 2)
        return bias if mask is None else bias + mask


class SemanticBlock(nn.Module):
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
        global_side: learn one token per place of a raster of this size, added to the queries (published as
            ``use_global``); resized to other rasters.
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
        super().__init__()
        self.shortcut, self.global_side = shortcut, global_side
        self.norm1 = nn.LayerNorm(dims, eps=norm_eps)
        self.attn = CrossAttention(dims, num_heads, qkv_bias, attn_drop, drop, bias_side)
        self.norm2 = nn.LayerNorm(dims, eps=norm_eps)
        self.mlp = MLP(dims, int(dims * mlp_ratio), drop)
        self.layer_scale_1 = nn.Parameter(torch.full((dims,), layer_scale))
        self.layer_scale_2 = nn.Parameter(torch.full((dims,), layer_scale))
        self.drop_path = DropPath(drop_path)
        if global_side is not None:
            self.global_tokens = nn.Parameter(torch.empty(1, global_side[0] * global_side[1], dims))
            nn.init.trunc_normal_(self.global_tokens, std=0.02)
        self.apply(init_swin)

    def forward(
        self,
        x: Tensor,
        grid: Grid,
        context: tuple[Tensor, ...],
        near: Neighbourhood,
        side: tuple[int, int] | None = None,
    ) -> Tensor:
        """Attend and transform.

        Args:
            x: (B, N, C) queries, tokens of ``grid``.
            grid: their grid.
            context: tokens (B, M_i, C) that are the keys, one map after the other; none for self attention.
            near: which query sees which key.
            side: (height, width) of a window of self attention.

        Returns:
            (B, N, C).
        """
        keys = context
        if self.global_side is not None:
            x = x + resize_positions(self.global_tokens, self.global_side, grid)
        q = self.norm1(x)
        if keys:
            joined = keys[0] if len(keys) == 1 else torch.cat(keys, 1)
            kv = self.norm1(F.pad(joined, (0, 0, 0, 1)) if near.padded else joined)
        else:
            kv = q
        out = self.layer_scale_1 * self.attn(q, kv, near, side)
        x = x + self.drop_path(out) if self.shortcut else out
        return x + self.drop_path(self.layer_scale_2 * self.mlp(self.norm2(x)))


class TokenGeneration(SemanticBlock):
    """Block 1: pool each cell of a window to a semantic token, which then looks around its window.

    Args:
        pooling: 'max' as published, or 'learned', the weighted mean that the authors describe (spec C3): a logit per
            image token, softmax inside each cell.
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

    def forward(self, x: Tensor, raster: Grid, grid: Grid, plan: UnitPlan, tokens: int) -> Tensor:  # type: ignore[override]
        """Image tokens (B, N, C) of ``grid`` -> semantic tokens (B, T, C) of ``raster``, ``tokens`` a window's side."""
        seeds = max_pool(x, grid, plan) if self.pool is None else weighted_pool(x, self.pool(x, grid), plan)
        if self.conv_pos is not None:
            seeds = self._add_position(seeds, raster, tokens)
        return super().forward(seeds, raster, (seeds, x) if self.see_seeds else (x,), plan.generate)

    def _add_position(self, x: Tensor, raster: Grid, side: int) -> Tensor:
        assert self.conv_pos is not None
        windows = window_plan(Grid(raster.height, raster.width), (side, side), False, x.device)
        cut = F.pad(x, (0, 0, 0, 1)).index_select(1, windows.gather).view(-1, side, side, x.shape[-1])
        cut = self.conv_pos(cut.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + cut.reshape(len(x), -1, x.shape[-1]).index_select(1, windows.inverse)


class TokenLogits(nn.Module):
    """How much an image token counts in its pooling cell: depth-wise convolution, layer norm, GELU, linear."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dims, dims, 3, padding=1, groups=dims)
        self.norm, self.act = nn.LayerNorm(dims), nn.GELU()
        self.logit = nn.Linear(dims, 1, bias=False)  # softmax would not see a bias

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """(B, N, C) -> (B, N), very low on padding."""
        logits = self.logit(self.act(self.norm(self.conv(grid.to_map(x)).flatten(2).transpose(1, 2))))[..., 0]
        return logits if grid.valid is None else logits.masked_fill(~grid.mask(x.device).flatten(1), MASKED)


def max_pool(x: Tensor, grid: Grid, plan: UnitPlan) -> Tensor:
    """Image tokens (B, N, C) -> the largest of each cell (B, T, C); zero where a cell has no valid token."""
    if grid.valid is not None:
        x = x.masked_fill(~grid.mask(x.device).flatten(1)[:, :, None], -torch.inf)
    pooled = F.pad(x, (0, 0, 0, 1)).index_select(1, plan.cells.flatten()).unflatten(1, plan.cells.shape).amax(2)
    return pooled if grid.valid is None else pooled.masked_fill(pooled == -torch.inf, 0)


def weighted_pool(x: Tensor, logits: Tensor, plan: UnitPlan) -> Tensor:
    """Image tokens (B, N, C) and logits (B, N) -> weighted means (B, T, C) of the cells."""
    slots = plan.cells.flatten()
    logits = F.pad(logits, (0, 1), value=MASKED).index_select(1, slots).unflatten(1, plan.cells.shape)
    weights = logits.masked_fill(plan.repeats, MASKED).softmax(2)[:, :, None]  # (B, T, 1, slots)
    return (weights @ F.pad(x, (0, 0, 0, 1)).index_select(1, slots).unflatten(1, plan.cells.shape))[:, :, 0]


class SemanticStage(SwinStage):
    """Dumbbell units, six blocks each.

    Args:
        blocks: Swin blocks at 0, 6, ..., :class:`TokenGeneration` at 1, 7, ..., :class:`SemanticBlock` elsewhere.
        window: side of a window, in image tokens.
        tokens: side of a window's semantic tokens.
        preset: 'cls' or 'det', see :func:`mmsparseswin.layers.neighbourhoods.unit_plan`.
        masks: 'exact' or 'official', see there.
        downsample: module with ``(x, grid) -> (x, grid)`` run before the blocks.
    """

    def __init__(
        self,
        blocks: list[nn.Module],
        window: int,
        tokens: int,
        preset: str = 'cls',
        masks: str = 'exact',
        downsample: nn.Module | None = None,
    ) -> None:
        super().__init__(blocks, downsample)
        self.window, self.tokens, self.preset, self.masks = window, tokens, preset, masks

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """(B, N, C) tokens of ``grid`` -> tokens of the returned grid."""
        if self.downsample is not None:
            x, grid = self.downsample(x, grid)
        plan = unit_plan(grid, self.window, self.tokens, self.preset, self.masks, x.device)
        raster, side = plan.raster, (self.tokens, self.tokens)
        everywhere = plan.raster.height, plan.raster.width
        for i in range(0, len(self.blocks), UNIT):
            base, generate, regenerate, local, together, recover = self.blocks[i : i + UNIT]
            x = grid.keep_valid(self._run(base, x, grid))
            s = self._run(generate, x, raster, grid, plan, self.tokens)
            s = self._run(regenerate, s, raster, (s, x) if self.preset == 'cls' else (x,), plan.regenerate)
            s = self._run(local, s, raster, (), plan.local, side)
            s = self._run(together, s, raster, (), plan.everywhere, everywhere)
            x = self._run(recover, x, grid, (s,), plan.recover)
        return x, grid

    def _run(self, block: nn.Module, *args) -> Tensor:
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(block, *args, use_reentrant=False)
        return block(*args)


@torch.compiler.assume_constant_result
def _offset_index(side: tuple[int, int], table: tuple[int, int], device: torch.device) -> Tensor:
    """(cells * cells,) row of a bias table for offsets below ``table``, for each pair of cells of a map of ``side``."""
    return _cached_offsets(side, table, device)


@lru_cache(maxsize=64)
def _cached_offsets(side: tuple[int, int], table: tuple[int, int], device: torch.device) -> Tensor:
    with torch.device('cpu'):
        cell = torch.arange(side[0] * side[1])
        rows, cols = cell // side[1], cell % side[1]
        dy = (rows[:, None] - rows[None]).clamp(1 - table[0], table[0] - 1) + table[0] - 1
        dx = (cols[:, None] - cols[None]).clamp(1 - table[1], table[1] - 1) + table[1] - 1
        return (dy * (2 * table[1] - 1) + dx).flatten().to(device)
