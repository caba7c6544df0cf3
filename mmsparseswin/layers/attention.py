"""Attention: the one scaled dot product, and window attention with relative position bias."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mmsparseswin.layers.fast_path import PLAIN, FastPath, linear
from mmsparseswin.layers.processor import processor
from mmsparseswin.layers.windows import WindowPlan


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None = None,
    dropout: float = 0.0,
    need_weights: bool = False,
    fast: FastPath = PLAIN,
) -> tuple[Tensor, Tensor | None]:
    """Scaled dot-product attention.

    Args:
        q: queries (..., n, d); k, v: keys and values (..., m, d).
        bias: added to the scaled scores, broadcast to (..., n, m).
        dropout: probability on the weights.
        need_weights: take the explicit softmax path, which alone can return them.
        fast: the block's choice.

    Returns:
        (..., n, d), and the weights (..., n, m) when asked for.
    """
    bias = bias if bias is None else bias.to(q.dtype)
    if need_weights:
        weights = _weights(q, k, bias).to(v.dtype)
        return F.dropout(weights, dropout, training=dropout > 0) @ v, weights
    if fast.cpu and dropout == 0 and _spells_out(q, k, v, bias):
        return _Recomputed.apply(q, k, v, bias), None
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout), None


class WindowAttention(nn.Module):
    """(Shifted-)window multi-head self attention (Swin, section 3.2).

    Args:
        dims: channels C.
        num_heads: heads.
        window: (height, width) of a window, in tokens.
        qkv_bias: learn a bias on queries, keys and values.
        attn_drop: dropout on the attention weights.
        proj_drop: dropout on the output.
    """

    relative_position_index: Tensor

    def __init__(
        self,
        dims: int,
        num_heads: int,
        window: tuple[int, int],
        qkv_bias: bool = True,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_heads, self.window, self.attn_drop = num_heads, window, attn_drop
        self.relative_position_bias_table = nn.Parameter(
            torch.empty((2 * window[0] - 1) * (2 * window[1] - 1), num_heads)
        )
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer('relative_position_index', relative_position_index(window), persistent=False)
        self.qkv = nn.Linear(dims, 3 * dims, bias=qkv_bias)
        self.proj = nn.Linear(dims, dims)
        self.proj_drop = nn.Dropout(proj_drop)

    def relative_bias(self) -> Tensor:
        """(heads, area, area)."""
        area = self.window[0] * self.window[1]
        bias = self.relative_position_bias_table.index_select(0, self.relative_position_index)
        return bias.view(area, area, self.num_heads).permute(2, 0, 1).contiguous()  # it is added to many windows

    def forward(
        self, x: Tensor, plan: WindowPlan, need_weights: bool = False, fast: FastPath = PLAIN
    ) -> tuple[Tensor, Tensor | None]:
        """Attend inside windows.

        Args:
            x: (B, N, C) normalised tokens.
            plan: the windows of their grid.
            need_weights: return the attention weights too.
            fast: the block's choice.

        Returns:
            (B, N, C), and the weights (windows of the whole batch, heads, area, area), windows in row-major order.
        """
        out, weights = self.mix(self.project(x, plan, fast), plan, need_weights, fast)
        return out.view(x.shape) if plan.flat else out, weights

    def project(self, x: Tensor, plan: WindowPlan, fast: FastPath) -> Tensor:
        """Normalised tokens (B, N, C) -> queries, keys and values (B or 1, windows * area, 3C) in window order."""
        return linear(self.qkv, plan.to_windows(x, fast), fast)

    def mix(
        self, qkv: Tensor, plan: WindowPlan, need_weights: bool = False, fast: FastPath = PLAIN
    ) -> tuple[Tensor, Tensor | None]:
        """Turn :meth:`project`'s result into tokens (B or 1, N or B * N, C) in grid order, and weights as above."""
        area, heads = self.window[0] * self.window[1], self.num_heads
        batch, slots, dims = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
        windows = slots // area
        qkv = qkv.view(batch, windows, area, 3, heads, dims // heads)
        bias = self.relative_bias()
        dropout = self.attn_drop if self.training else 0.0

        # Windows at the seam of the shift come last; they alone need the mask.
        seam = 0 if plan.mask is None else len(plan.mask)
        inside, at_seam = _heads(qkv, windows - seam, fast)
        outs, weights = [], []
        if windows > seam:
            q, k, v = (part.flatten(0, 1) for part in inside)  # (B * windows, heads, area, d)
            out, weight = attend(q, k, v, bias[None], dropout, need_weights, fast)
            outs.append(out.unflatten(0, (batch, -1)))
            weights.append(weight)
        if plan.mask is not None:
            # Windows and heads share one axis, so that the mask broadcasts over the batch.
            q, k, v = (part.flatten(1, 2) for part in at_seam)  # (B, seam windows * heads, area, d)
            # 4-D, as the fused kernels ask for: (1, seam windows * heads, area, area)
            masked = (bias + plan.mask[:, None]).flatten(0, 1)[None]
            out, weight = attend(q, k, v, masked, dropout, need_weights, fast)
            outs.append(out.unflatten(1, (seam, heads)))
            weights.append(weight)
        x = torch.cat([out.transpose(2, 3) for out in outs], 1).view(batch, slots, dims)
        x = plan.to_grid(self.proj_drop(linear(self.proj, x, fast)), fast)
        if not need_weights:
            return x, None
        full = torch.cat([w.reshape(batch, -1, heads, area, area) for w in weights if w is not None], 1)
        return x, full.index_select(1, plan.order).flatten(0, 1)


def relative_position_index(size: tuple[int, int], offsets: tuple[int, int] | None = None) -> Tensor:
    """(cells * cells,) row of the bias table for each pair of cells: (dy + h - 1) * (2w - 1) + dx + w - 1.

    Args:
        size: (height, width) of the map of cells.
        offsets: (h, w), the table is for offsets below these, and others are clipped to it; by default ``size``.
    """
    h, w = offsets or size
    y, x = torch.arange(size[0] * size[1]) // size[1], torch.arange(size[0] * size[1]) % size[1]
    dy = (y[:, None] - y[None]).clamp(1 - h, h - 1) + h - 1
    dx = (x[:, None] - x[None]).clamp(1 - w, w - 1) + w - 1
    return (dy * (2 * w - 1) + dx).flatten()


def _spells_out(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> bool:
    """Return True if attention on a CPU is faster without the fused kernel."""
    pairs = q.shape[-2] * k.shape[-2]
    if not torch.is_grad_enabled():
        return pairs <= processor().explicit_scores
    if bias is not None and bias.requires_grad:
        return True
    learns = q.requires_grad or k.requires_grad or v.requires_grad
    return learns and q.dtype in (torch.bfloat16, torch.float16) and pairs <= processor().explicit_scores_half


def _weights(q: Tensor, k: Tensor, bias: Tensor | None) -> Tensor:
    """Softmax of the scores (..., n, m), float32 at least."""
    products = torch.baddbmm(
        q.new_zeros(()), q.flatten(0, -3), k.flatten(0, -3).transpose(1, 2), beta=0, alpha=q.shape[-1] ** -0.5
    )
    scores = products.view(*q.shape[:-1], -1)
    if bias is not None:
        scores += bias
    # Also the faster way: a CPU's softmax of half precision takes twice as long as that of float32.
    return scores.softmax(-1, dtype=torch.promote_types(q.dtype, torch.float32))


class _Recomputed(torch.autograd.Function):
    """Attention on a CPU where the fused kernel is slow, or has no gradient: that of a learned bias.

    For a learned bias PyTorch falls back to a graph that keeps scaled copies of queries and keys, and the weights; this
    keeps what it is given and takes the softmax again in the backward pass, unless the weights are no larger than the
    keys.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        weights = _weights(q, k, bias)
        ctx.save_for_backward(q, k, v, bias, weights if k.shape[-2] <= k.shape[-1] else None)
        return weights.to(v.dtype) @ v

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        q, k, v, bias, kept = ctx.saved_tensors
        scale = q.shape[-1] ** -0.5
        weights, grad = _weights(q, k, bias) if kept is None else kept, grad.contiguous()
        grad_v = weights.to(v.dtype).transpose(-2, -1) @ grad
        slope = grad @ v.transpose(-2, -1)
        slope = torch._softmax_backward_data(slope.to(weights.dtype), weights, -1, weights.dtype)  # of the scores
        grad_bias = slope.sum_to_size(bias.shape).to(bias.dtype) if ctx.needs_input_grad[3] else None
        slope = slope.to(v.dtype)
        grad_q, grad_k = (slope @ k).mul_(scale), (slope.transpose(-2, -1) @ q).mul_(scale)
        return grad_q, grad_k, grad_v, grad_bias


def _heads(qkv: Tensor, inside: int, fast: FastPath) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """(B, windows, area, 3, heads, d) -> (B, windows, heads, area, d) thrice, for windows ``inside`` and the rest."""
    if fast.cpu and qkv.requires_grad:
        parts = _Heads.apply(qkv, inside)
        return parts[:3], parts[3:]
    qkv = qkv.permute(3, 0, 1, 4, 2, 5)
    return qkv[:, :, :inside].unbind(), qkv[:, :, inside:].unbind()


class _Heads(torch.autograd.Function):
    """Copies as matrix products need them, forward and backward, and their gradients in one piece.

    Views would be copied by each product anew, and the gradients of slices be padded to the whole and added up.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, inside: int) -> tuple[Tensor, ...]:
        parts = qkv.permute(3, 0, 1, 4, 2, 5).split((inside, qkv.shape[1] - inside), 2)
        return tuple(x for part in parts for x in part.contiguous().unbind())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (batch, inside, heads, area, dims), at_seam = grads[0].shape, grads[3].shape[1]
        out = grads[0].new_empty(batch, inside + at_seam, area, 3, heads, dims)
        parts = out.permute(3, 0, 1, 4, 2, 5).split((inside, at_seam), 2)
        for place, grad in zip((x for part in parts for x in part), grads, strict=True):
            place.copy_(grad)
        return out, None
