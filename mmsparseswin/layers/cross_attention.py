"""Attention between two token maps, or inside one, by tables that say which query sees which key."""

import torch
from torch import Tensor, nn

from mmsparseswin.layers.attention import attend, relative_position_index
from mmsparseswin.layers.fast_path import PLAIN, FastPath, linear
from mmsparseswin.layers.neighbourhoods import Neighbourhood
from mmsparseswin.layers.tables import table

# Keys of the windows that are taken together in inference; from 2,000 to 16,000 the time hardly changes.
_KEYS = 8192


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

    def forward(
        self,
        x: Tensor,
        context: Tensor,
        neighbourhood: Neighbourhood,
        side: tuple[int, int] | None = None,
        need_weights: bool = False,
        fast: FastPath = PLAIN,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend.

        Args:
            x: (B, N, C) normalised queries.
            context: (B, M, C) normalised keys, with a zero token last (normalised too) if ``neighbourhood.padded``.
            neighbourhood: which query sees which key.
            side: (height, width) of the tokens in a window, where there is a relative position bias.
            need_weights: return the attention weights too.
            fast: the block's choice.

        Returns:
            (B, N, C), and the weights (B * windows, heads, slots, K), windows in the order of ``neighbourhood``.
        """
        q, kv = linear(self.q, x, fast), linear(self.kv, context, fast)
        # Overlapping neighbourhoods hold each key several times: some windows at a time stay in cache.
        in_chunks = fast.cpu and not torch.is_grad_enabled() and not need_weights
        chunks = neighbourhood.chunks(_KEYS) if in_chunks else [neighbourhood]
        mixed = [self._mix(q, kv, chunk, side, need_weights, fast) for chunk in chunks]
        out = torch.cat([part for part, _ in mixed], 1)
        if neighbourhood.inverse is not None:
            out = out.index_select(1, neighbourhood.inverse)
        return self.proj_drop(linear(self.proj, out, fast)), mixed[0][1]

    def _mix(
        self,
        q: Tensor,
        kv: Tensor,
        neighbourhood: Neighbourhood,
        side: tuple[int, int] | None,
        need_weights: bool,
        fast: FastPath,
    ) -> tuple[Tensor, Tensor | None]:
        """Queries (B, N, C), keys and values (B, M, 2C) -> (B, slots, C) in the order of the windows, and weights."""
        batch, _, dims = q.shape
        if neighbourhood.queries is not None and neighbourhood.keys is not None:
            q = q.index_select(1, neighbourhood.queries)
            kv = kv.index_select(1, neighbourhood.keys)
        # Windows join the batch: (B * windows, heads, slots, d)
        windows = batch * neighbourhood.windows
        q = q.view(windows, -1, self.num_heads, dims // self.num_heads).transpose(1, 2)
        k, v = kv.view(windows, -1, 2, self.num_heads, dims // self.num_heads).permute(2, 0, 3, 1, 4)
        dropout = self.attn_drop if self.training else 0.0
        out, weights = attend(q, k, v, self._bias(neighbourhood, batch, side), dropout, need_weights, fast)
        return out.transpose(1, 2).reshape(batch, -1, dims), weights

    def _bias(self, neighbourhood: Neighbourhood, batch: int, side: tuple[int, int] | None) -> Tensor | None:
        """Mask and relative position bias, broadcast to (B * windows, heads, queries, keys)."""
        mask = neighbourhood.mask
        if mask is not None and neighbourhood.keys is not None:
            mask = mask.expand(batch, -1, -1).flatten(0, 1)[:, None, None]
        if self.bias_side is None or side is None:
            return mask
        index = _bias_index(side, self.bias_side, self.relative_position_bias_table.device)
        cells = side[0] * side[1]
        bias = self.relative_position_bias_table.index_select(0, index).view(1, cells, cells, -1).permute(0, 3, 1, 2)
        return bias if mask is None else bias + mask


@table(64)
def _bias_index(side: tuple[int, int], bias_side: tuple[int, int], device: torch.device) -> Tensor:
    return relative_position_index(side, bias_side).to(device)
