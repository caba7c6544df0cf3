"""Chunked inference: run a Swin block on a few windows at a time.

A whole block writes and reads back its normalised, projected and hidden activations, each up to four times the size of
the map; on a CPU that time is spent on memory. In chunks of a few thousand tokens the same steps stay in cache
(docs/benchmarks). Every row goes through the same operations as in one piece. A library may round products of another
number of rows otherwise, so the chunk size changes a float32 result by at most 1e-6 of its largest value; where the
library rounds alike, as oneDNN does on AVX-512, not by a bit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import Tensor

from mmsparseswin.layers.attention import WindowAttention, attend
from mmsparseswin.layers.fast_path import FastPath, has_hooks, linear
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.pre_norm import PreNormBlock
from mmsparseswin.layers.processor import processor
from mmsparseswin.layers.tables import table
from mmsparseswin.layers.windows import WindowPlan, window_plan

_tokens: ContextVar[int | None] = ContextVar('chunked_inference', default=None)


@contextmanager
def chunked_inference(tokens: int | None = None) -> Iterator[None]:
    """Set the size of a chunk for the code inside: ``None`` as measured to be good, 0 no chunks at all.

    Chunks are taken where nothing but the result is wanted: on a CPU, in eval mode, without gradients, tracing,
    compilation or hooks inside the block.
    """
    token = _tokens.set(tokens)
    try:
        yield
    finally:
        _tokens.reset(token)


def chunk_size(block: PreNormBlock, fast: FastPath) -> int:
    """Tokens per chunk for this block; 0 where it must run as a whole."""
    if not fast.cpu or torch.is_grad_enabled() or block.training:
        return 0
    tokens = _tokens.get()
    if tokens == 0 or type(block.attn) is not WindowAttention or has_hooks(*list(block.modules())[1:]):
        return 0
    return processor().chunk_tokens * torch.get_num_threads() if tokens is None else tokens


class Chunk(NamedTuple):
    """Some windows of a batch."""

    windows: int
    tokens: Tensor  # (windows * area,) token in each slot, counted through the batch; any where the slot is padding
    padding: Tensor | None  # (windows * area, 1) True where it is
    masks: Tensor | None  # (windows,) row of the plan's mask; None for windows without a seam


class Chunks(NamedTuple):
    """The windows of a batch in chunks, and the way back."""

    chunks: list[Chunk]
    inverse: Tensor  # (B * N,) slot of each token, counted through the chunks
    mask: Tensor | None  # (seam windows, 1, area, area)


@table(64)
def _chunks(grid: Grid, window: tuple[int, int], shift: bool, shift_single: bool, batch: int, tokens: int) -> Chunks:
    return cut(
        window_plan(grid, window, shift, torch.device('cpu'), shift_single), grid.height * grid.width, batch, tokens
    )


def cut(plan: WindowPlan, cells: int, batch: int, tokens: int) -> Chunks:
    """Cut the windows of ``plan``, made for ``cells`` tokens per image, into chunks of about ``tokens``."""
    area = len(plan.gather) // len(plan.order)
    seam = 0 if plan.mask is None else len(plan.mask)
    images = 1 if plan.flat else batch
    zero_row = batch * cells if plan.flat else cells
    slots = plan.gather.view(1, -1, area)  # (images, windows, area)
    padding = (slots == zero_row).expand(images, -1, -1)
    slots = slots + cells * torch.arange(images)[:, None, None]
    # Windows without a seam first, then the others, those with equal masks side by side.
    split = slots.shape[1] - seam
    order = torch.arange(images * slots.shape[1]).view(images, -1)
    order = torch.cat((order[:, :split].flatten(), order[:, split:].t().flatten()))
    slots, padding = slots.flatten(0, 1)[order], padding.flatten(0, 1)[order]
    masks = torch.arange(seam).repeat_interleave(images)

    step, plain, chunks = max(1, tokens // area), images * split, []
    for first, last in ((0, plain), (plain, len(slots))):
        for start in range(first, last, step):
            stop = min(start + step, last)
            outside = padding[start:stop].flatten()[:, None]
            chunks.append(
                Chunk(
                    stop - start,
                    slots[start:stop].flatten().clamp(max=batch * cells - 1),
                    outside if outside.any() else None,
                    masks[start - plain : stop - plain] if start >= plain else None,
                )
            )
    inverse = torch.zeros(batch * cells + 1, dtype=torch.long)
    inverse[slots.masked_fill(padding, batch * cells).flatten()] = torch.arange(slots.numel())
    return Chunks(chunks, inverse[:-1], None if plan.mask is None else plan.mask[:, None])


def forward_in_chunks(
    block: PreNormBlock, x: Tensor, grid: Grid, shift: bool, shift_single: bool, tokens: int, fast: FastPath
) -> Tensor:
    """Run a Swin block on (B, N, C) tokens of ``grid``, ``tokens`` at a time; return what its ``forward`` returns."""
    assert isinstance(block.attn, WindowAttention)
    return run_chunks(block, x, _chunks(grid, block.attn.window, shift, shift_single, len(x), tokens), tokens, fast)


def run_chunks(block: PreNormBlock, x: Tensor, plan: Chunks, tokens: int, fast: FastPath) -> Tensor:
    """Run a Swin block on (B, N, C) tokens whose windows ``plan`` cut into chunks of about ``tokens``."""
    attn, rows = block.attn, x.reshape(-1, x.shape[-1])
    assert isinstance(attn, WindowAttention)
    bias = attn.relative_bias().to(x.dtype)
    mask = None if plan.mask is None else plan.mask.to(x.dtype)
    mixed = x.new_empty(sum(len(chunk.tokens) for chunk in plan.chunks), x.shape[-1])
    for chunk, slots in zip(plan.chunks, mixed.split([len(chunk.tokens) for chunk in plan.chunks]), strict=True):
        seam = None if mask is None or chunk.masks is None else mask.index_select(0, chunk.masks)
        _mix(block, rows, chunk, bias if seam is None else bias + seam, slots, fast)
    out = torch.empty_like(rows)
    # Windows are padded; what follows needs the tokens alone, in any chunks of about one size.
    parts = -(-len(rows) // tokens)
    for part, inverse, outs in zip(*(t.tensor_split(parts) for t in (rows, plan.inverse, out)), strict=True):
        part = linear(attn.proj, mixed.index_select(0, inverse), fast, plus=part)
        torch.add(part, block.mlp(block.norm2(part), fast), out=outs)
    return out.view(x.shape)


def _mix(block: PreNormBlock, rows: Tensor, chunk: Chunk, bias: Tensor, out: Tensor, fast: FastPath) -> None:
    """Attention inside the windows of a chunk, into its slots (windows * area, C)."""
    attn = block.attn
    assert isinstance(attn, WindowAttention)
    shape = (chunk.windows, attn.window[0] * attn.window[1], attn.num_heads)
    y = block.norm1(rows.index_select(0, chunk.tokens))
    if chunk.padding is not None:
        y = y.masked_fill_(chunk.padding, 0)
    q, k, v = linear(attn.qkv, y, fast).view(*shape[:2], 3, shape[2], -1).permute(2, 0, 3, 1, 4)
    out.view(*shape, -1).copy_(attend(q, k, v, bias, fast=fast)[0].transpose(1, 2))
