"""The sparse-token stage of SparseSwin, at any size.

Published (docs/models/sparse_swin.md): a 3x3 convolution, one linear layer over positions that makes T tokens, pre-norm
transformer blocks on the tokens, and for dense tasks an MLP over tokens that makes a map again. The linear layers are
bound to one square size. Ours: their rows are maps, so they are resized to the size at hand, and a map can also be
recovered by cross attention from image queries to tokens.
"""

import math
from operator import index

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmsparseswin.errors import InputError
from mmsparseswin.layers.attention import attend
from mmsparseswin.layers.fast_path import PLAIN, FastPath, choose, has_hooks, linear, multiply
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.pre_norm import MLP, init_swin
from mmsparseswin.layers.resize import resize_map, resize_sums

TOKEN_RESIZE = ('weight', 'feature', 'tile')
POS_ENCODING = ('none', 'sincos1d')
CONVERSION = ('conv', 'separable')


class TokenBlock(nn.Module):
    """Pre-norm transformer block on tokens, with the published GELU after the second linear too.

    See docs/models/sparse_swin.md, 'SparTa block'.

    Args:
        dims: channels E.
        num_heads: heads.
        qkv_bias: bias on queries, keys and values.
        drop: dropout after the attention's output.
        attn_drop: dropout on attention weights and in the MLP.
    """

    def __init__(
        self, dims: int, num_heads: int, qkv_bias: bool = True, drop: float = 0.0, attn_drop: float = 0.0
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dims)
        self.attn = TokenAttention(dims, num_heads, qkv_bias, attn_drop)
        self.drop = nn.Dropout(drop)
        self.norm2 = nn.LayerNorm(dims)
        self.mlp = MLP(dims, 4 * dims, attn_drop, final_gelu=True)

    def forward(self, x: Tensor, need_weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """(B, T, E) -> the same shape, and the weights (B, heads, T, T) when asked for."""
        fast = choose(x, self.attn, self.mlp)
        out, weights = self.attn(self.norm1(x), need_weights, fast)
        x = x + self.drop(out)
        return x + self.mlp(self.norm2(x), fast), weights


class TokenAttention(nn.Module):
    """Multi-head self attention over all tokens."""

    def __init__(self, dims: int, num_heads: int, qkv_bias: bool = True, attn_drop: float = 0.0) -> None:
        super().__init__()
        self.num_heads, self.attn_drop = num_heads, attn_drop
        self.qkv = nn.Linear(dims, 3 * dims, bias=qkv_bias)
        self.proj = nn.Linear(dims, dims)

    def forward(self, x: Tensor, need_weights: bool = False, fast: FastPath = PLAIN) -> tuple[Tensor, Tensor | None]:
        """(B, T, E) -> the same shape, and the weights (B, heads, T, T) when asked for."""
        q, k, v = linear(self.qkv, x, fast).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        out, weights = attend(q, k, v, None, self.attn_drop if self.training else 0.0, need_weights, fast)
        return linear(self.proj, out.transpose(1, 2).flatten(2), fast), weights


class TokensToMapMLP(nn.Module):
    """Make a map of tokens as published: an MLP over the token axis, shared by all channels, GELU last.

    Its output cells are a map at the build grid, so its last layer is resized like one. It sees tokens only, never the
    image (docs/models/sparse_swin.md, 'Tokens to map').

    Args:
        num_tokens: tokens T.
        dims: channels E.
        grid_size: side of the build grid at stride 16; the map has half of it.
    """

    def __init__(self, num_tokens: int, dims: int, grid_size: int) -> None:
        super().__init__()
        self.side = grid_size // 2
        self.fc1, self.act = nn.Linear(num_tokens, 4 * dims), nn.GELU()
        self.fc2 = nn.Linear(4 * dims, self.side**2)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Tokens (..., T, E) -> maps (..., E, *size)."""
        x = self.act(self.fc1(x.transpose(-2, -1)))  # (..., E, 4E)
        if size == (self.side, self.side):
            return self.act(self.fc2(x)).unflatten(-1, size)
        weight = resize_map(self.fc2.weight.t().unflatten(1, (self.side, self.side)), size).flatten(1).t()
        bias = resize_map(self.fc2.bias.view(self.side, self.side), size).flatten()
        return self.act(F.linear(x, weight, bias)).unflatten(-1, size)


class TokensToMapAttention(nn.Module):
    """Make a map of tokens by cross attention from every image token, then an MLP.

    See docs/models/sparse_swin.md, 'Back to a map'.

    Args:
        dims: channels of the image tokens.
        token_dims: channels E of the sparse tokens.
        num_heads: heads; the attention works at ``token_dims``.
        mlp_ratio: hidden channels of the MLP over ``dims``. 2 keeps the stage cheaper than the Swin stage it replaces:
            per token of stride 32 about 5.3 * dims**2 multiply-accumulates against 24 * dims**2 in two Swin blocks.
    """

    def __init__(self, dims: int, token_dims: int, num_heads: int, mlp_ratio: float = 2.0) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1 = nn.LayerNorm(dims)
        self.q, self.kv = nn.Linear(dims, token_dims), nn.Linear(token_dims, 2 * token_dims)
        self.proj = nn.Linear(token_dims, dims)
        self.norm2 = nn.LayerNorm(dims)
        self.mlp = MLP(dims, int(dims * mlp_ratio))
        self.apply(init_swin)

    def forward(self, x: Tensor, tokens: Tensor, need_weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """Image tokens (B, N, C) and sparse tokens (B, T, E) -> (B, N, C), weights (B, heads, N, T) when asked for."""
        fast = choose(x, self.mlp)
        q = linear(self.q, self.norm1(x), fast).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        k, v = linear(self.kv, tokens, fast).unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        out, weights = attend(q, k, v, need_weights=need_weights, fast=fast)
        x = x + linear(self.proj, out.transpose(1, 2).flatten(2), fast)
        return x + self.mlp(self.norm2(x), fast), weights


class SparseStage(nn.Module):
    """Stage 4 of SparseSwin: the stride-16 map becomes T tokens, and a stride-32 map again if asked for.

    Args:
        in_dims: channels of the stride-16 map.
        num_tokens: tokens T.
        dims: channels E of a token.
        num_heads: heads of the token blocks.
        depth: token blocks.
        grid_size: side of the build grid (image size / 16), the one size at which the published layer is defined.
        token_resize: how another grid reaches the tokens. 'weight' resizes the rows of the linear layer (times the
            ratio of areas, sums kept), 'feature' resizes the features to the build grid, 'tile' to the next multiple of
            it and makes T tokens per tile.
        pos_encoding: 'sincos1d' adds the code of docs/models/sparse_swin.md, 'Dense encoder'.
        qkv_bias: bias on queries, keys and values.
        conversion: 'conv', the published 3x3 convolution, or 'separable', depth-wise then point-wise, for training from
            scratch.
        drop: dropout after attention.
        attn_drop: dropout on attention weights and in the MLPs.
        downsample: patch merging that makes the image queries of stride 32.
        token_to_map: module that makes the map; None leaves the tokens.
    """

    sincos_pos_embed: Tensor | None

    def __init__(
        self,
        in_dims: int,
        num_tokens: int,
        dims: int,
        num_heads: int = 16,
        depth: int = 2,
        grid_size: int = 14,
        token_resize: str = 'weight',
        pos_encoding: str = 'none',
        qkv_bias: bool = True,
        conversion: str = 'conv',
        drop: float = 0.0,
        attn_drop: float = 0.0,
        downsample: nn.Module | None = None,
        token_to_map: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.grid_size, self.token_resize, self.with_cp = grid_size, token_resize, False
        self.downsample = downsample
        self.convert: nn.Module = nn.Conv2d(in_dims, dims, 3, padding=1)
        if conversion == 'separable':
            self.convert = nn.Sequential(
                nn.Conv2d(in_dims, in_dims, 3, padding=1, groups=in_dims), nn.Conv2d(in_dims, dims, 1)
            )
        self.lin_t = nn.Linear(grid_size**2, num_tokens)
        code = sincos_pos_embed(grid_size**2, dims) if pos_encoding == 'sincos1d' else None
        self.register_buffer('sincos_pos_embed', code, persistent=False)
        self.blocks = nn.ModuleList(TokenBlock(dims, num_heads, qkv_bias, drop, attn_drop) for _ in range(depth))
        self.norm = nn.LayerNorm(dims)
        self.token_to_map = token_to_map

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid | None]:
        """(B, N, C) stride-16 tokens -> stride-32 tokens and their grid, or (B, T, E) and None without a map."""
        if grid.valid is None:
            return self._forward(x, grid)
        # Sizes differ inside the batch: each image is computed as it would be alone, so padding cannot change it.
        x = x.unflatten(1, (grid.height, grid.width))
        alone = [self._forward(x[i : i + 1, :h, :w].flatten(1, 2), Grid(h, w)) for i, (h, w) in enumerate(grid.valid)]
        if self.token_to_map is None:
            return _stack_tokens([out for out, _ in alone]), None
        coarse = grid.coarser(2)
        maps = [
            F.pad(out.unflatten(1, (g.height, g.width)), (0, 0, 0, coarse.width - g.width, 0, coarse.height - g.height))
            for out, g in alone
            if g is not None
        ]
        return torch.cat(maps).flatten(1, 2), coarse

    def _forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid | None]:
        tokens = self.tokens(x, grid)
        if self.token_to_map is None:
            return tokens, None
        if self.downsample is not None:
            queries, coarse = self.downsample(x, grid)
            return self.token_to_map(queries, tokens)[0], coarse
        return self._mlp_map(tokens, grid), grid.coarser(2)

    def tokens(self, x: Tensor, grid: Grid) -> Tensor:
        """(B, N, C) tokens of a fully valid grid -> (B, T, E) normalised sparse tokens (T per tile for 'tile')."""
        fast = choose(x)
        if fast.enabled and self._collects_first(grid):
            tokens = self._collect_and_convert(x, grid, fast)
        else:
            features = self.convert(x.transpose(1, 2).unflatten(2, (grid.height, grid.width)))
            tokens = self._collect(features).transpose(1, 2)
        for block in self.blocks:
            if self.with_cp and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, use_reentrant=False)[0]
            else:
                tokens = block(tokens)[0]
        return self.norm(tokens)

    def _collects_first(self, grid: Grid) -> bool:
        """Return True if the linear layer may run before the convolution, and is cheaper so."""
        cells, tokens, dims = grid.height * grid.width, self.lin_t.out_features, self.norm.normalized_shape[0]
        return (
            self.token_resize == 'weight'
            and type(self.convert) is nn.Conv2d
            and tokens * (cells + dims) < cells * dims
            and not has_hooks(self.convert, self.lin_t)
        )

    def _collect_and_convert(self, x: Tensor, grid: Grid, fast: FastPath) -> Tensor:
        """The convolution (over channels and neighbours) and the linear layer (over positions) in the other order.

        Nothing stands between the two, so a token is as well the convolution's kernel times nine sums over positions,
        one for each neighbour: for 49 tokens a third of the products at 14 x 14, a ninth at 50 x 84. Tracers and
        counters see the published order.

        Args:
            x: (B, N, C) tokens of ``grid``.
            grid: their grid.
            fast: the stage's choice.

        Returns:
            (B, T, E).
        """
        assert isinstance(self.convert, nn.Conv2d)
        batch, _, dims = x.shape
        height, width = grid.height, grid.width
        rows = self.weight_at((height, width))
        padded = F.pad(rows.unflatten(1, (height, width)), (1, 1, 1, 1))
        # The kernel's place (i, j) looks at the neighbour (i - 1, j - 1), so the row moves the other way.
        moved = torch.stack(
            [padded[:, 2 - i : 2 - i + height, 2 - j : 2 - j + width] for i in range(3) for j in range(3)]
        )  # (9, T, height, width)
        sums = multiply(moved.flatten(2).flatten(0, 1), x.transpose(1, 2).reshape(batch * dims, -1), fast)
        sums = sums.view(9, -1, batch, dims).permute(2, 1, 3, 0).flatten(2)  # (B, T, C * 9), the kernel's own order
        bias = self._token_bias()[:, None] if self.sincos_pos_embed is None else self._token_bias().t()
        if self.convert.bias is not None:
            bias = bias + rows.sum(1, keepdim=True) * self.convert.bias
        return multiply(sums, self.convert.weight.flatten(1), fast) + bias

    def _token_bias(self) -> Tensor:
        """Return what the linear layer adds to the features: (T,), or (E, T) with positions encoded."""
        if self.sincos_pos_embed is None:
            return self.lin_t.bias
        # The code enters linearly, so it is one constant per token and channel, whatever the size.
        return self.lin_t.bias + F.linear(self.sincos_pos_embed.t(), self.lin_t.weight)

    def _collect(self, features: Tensor) -> Tensor:
        """Features (B, E, h, w) -> (B, E, tokens): the linear layer over positions, at any size."""
        bias = self._token_bias()
        height, width = index(features.shape[-2]), index(features.shape[-1])  # constants to tracers, as tables are
        if self.token_resize == 'weight':
            weight = self.weight_at((height, width))
            return F.linear(features.flatten(2), weight) + bias
        rows, cols = self.tiles(height, width)
        side = self.grid_size
        tiles = resize_map(features, (rows * side, cols * side)).unflatten(3, (cols, side)).unflatten(2, (rows, side))
        tiles = tiles.permute(0, 2, 4, 1, 3, 5).flatten(4).flatten(1, 2)  # (B, tiles, E, side * side)
        return (F.linear(tiles, self.lin_t.weight) + bias).transpose(1, 2).flatten(2)

    def weight_at(self, size: tuple[int, int]) -> Tensor:
        """Return the rows of the linear layer, which sums over positions, as maps of ``size``: (T, h * w)."""
        side, weight = self.grid_size, self.lin_t.weight
        if size == (side, side):
            return weight
        return resize_sums(weight.unflatten(1, (side, side)), size).flatten(1)

    def tiles(self, height: int, width: int) -> tuple[int, int]:
        """Return the rows and columns of tiles on a grid, each of which makes tokens of its own."""
        if self.token_resize == 'feature':
            return 1, 1
        return math.ceil(height / self.grid_size), math.ceil(width / self.grid_size)

    def _mlp_map(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Tokens (B, tokens, E) -> map tokens (B, ceil(h / 2) * ceil(w / 2), E)."""
        assert isinstance(self.token_to_map, TokensToMapMLP)
        coarse = grid.coarser(2)
        size = coarse.height, coarse.width
        if self.token_resize != 'tile':
            return self.token_to_map(tokens, size).flatten(2).transpose(1, 2)
        rows, cols = self.tiles(grid.height, grid.width)
        side = self.token_to_map.side
        maps = self.token_to_map(tokens.unflatten(1, (rows, cols, -1)), (side, side))  # (B, rows, cols, E, side, side)
        full = maps.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)  # (B, E, rows * side, cols * side)
        return resize_map(full, size).flatten(2).transpose(1, 2)


def sincos_pos_embed(length: int, dims: int) -> Tensor:
    """The published 1-D code (length, dims): p / 10000 ** (2 * (c // 2) / dims), sine on even c, cosine on odd c."""
    position = torch.arange(length, dtype=torch.float64)[:, None]
    channel = torch.arange(dims)
    angle = position / 10000 ** (2 * (channel // 2) / dims)
    return torch.where(channel % 2 == 0, angle.sin(), angle.cos()).float()


def _stack_tokens(tokens: list[Tensor]) -> Tensor:
    """Join (1, T_i, E) of several images; T_i may differ only where tokens are made per tile."""
    if len({t.shape[1] for t in tokens}) > 1:
        raise InputError(
            "token_resize='tile' makes a different number of tokens for images of different sizes, which out_type= "
            "'raw' and 'avg_featmap' cannot stack: use token_resize='weight', or images of one size"
        )
    return torch.cat(tokens)
