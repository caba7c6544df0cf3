"""Map recorded attention back onto the image."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmsparseswin.analysis.attention_maps import Attention
from mmsparseswin.analysis.attention_slots import Slots, dense, neighbourhood_slots, window_slots
from mmsparseswin.errors import InputError
from mmsparseswin.layers.neighbourhoods import Neighbourhood

_LARGEST_DENSE = 2**28  # entries of a dense attention matrix: 1 GiB in float32


def stitch(record: Attention) -> Tensor:
    """Return attention between all tokens, (B, heads, N, M): [..., query, key] in row-major order, map after map.

    Un-rolled; exactly 0 between tokens that do not see each other. Slots of padding are left out and the rest of a row
    is scaled to the sum 1 (published Swin and STViT-R let tokens attend to padding).

    Raises:
        InputError: attention of sparse tokens, or more than 1 GiB; use :func:`attention_from` or
            :func:`attention_received`.
    """
    return _dense(_slots(record))


def attention_from(record: Attention, y: int, x: int, keys: int = -1) -> Tensor:
    """Return the attention of the query token (y, x) of ``record.grid``, (B, heads, H, W): its row of :func:`stitch`.

    Args:
        record: one block.
        y: row.
        x: column.
        keys: on which of ``record.keys``. Two blocks of STViT-R's classifier look at semantic tokens (0) and image
            tokens (1, the default) at once; together they have the sum 1.

    Raises:
        InputError: attention of sparse tokens, or a place outside the grid.
    """
    height, width = record.grid.height, record.grid.width
    if not (0 <= y < height and 0 <= x < width):
        raise InputError(f'token ({y}, {x}) is outside the grid of {height} x {width} tokens')
    slots = _slots(record)
    window, slot = (slots.queries == y * width + x).nonzero()[0].tolist()
    return _onto_map(slots.weights[:, :, window, slot], slots.keys[window], record, keys)


def attention_received(record: Attention, keys: int = -1) -> Tensor:
    """Return the attention that each token receives, (B, heads, H, W): the sum over queries of :func:`stitch`.

    1 on average where tokens look at one another. ``keys`` is that of :func:`attention_from`.

    Raises:
        InputError: attention of sparse tokens.
    """
    slots = _slots(record)
    # Ignore the rows of padding queries.
    weights = slots.weights * (slots.queries < slots.size[0])[:, :, None]
    return _onto_map(weights.sum(-2).flatten(2), slots.keys.flatten(), record, keys)


def window_numbers(record: Attention) -> Tensor:
    """Return which window each query token lies in, (H, W) of ``record.grid``; the number of `record.kept`.

    Raises:
        InputError: attention of sparse tokens.
    """
    slots = _slots(record)
    windows = torch.arange(len(slots.queries), device=slots.queries.device)[:, None].expand_as(slots.queries)
    numbers = windows.new_zeros(slots.size[0] + 1)
    numbers[slots.queries.flatten()] = windows.flatten()
    return numbers[:-1].view(record.grid.height, record.grid.width)


def rollout(records: Sequence[Attention], stage: int) -> Tensor:
    """Compute attention rollout through the blocks of one stage (Abnar and Zuidema, arXiv 2005.00928).

    The heads' mean of each block, half of it replaced by the identity for the residual branch, multiplied over blocks.

    Args:
        records: of one forward pass.
        stage: a stage of Swin, or the sparse stage (whose tokens, not image tokens, are followed).

    Returns:
        (B, N, N), or (B, T, T): row n is where the output token n comes from in the stage's input; rows sum to 1.

    Raises:
        InputError: nothing recorded of this stage, semantic tokens in it, or too large, see :func:`stitch`.
    """
    mixed = None
    for record in records:
        if record.stage != stage or record.kind == 'map':
            continue
        if record.kind == 'semantic':
            raise InputError(
                f'no rollout through stage {stage}: its semantic tokens are made by pooling, not by attention'
            )
        if record.kind == 'tokens':
            mean = record.weights.mean(1)
        else:
            slots = _slots(record)
            mean = _dense(slots._replace(weights=slots.weights.mean(1, keepdim=True)))[:, 0]
        step = (mean + torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device)) / 2
        if record.kept is not None:  # tokens of windows that were left out stay what they are
            step = step / step.sum(-1, keepdim=True)
        mixed = step if mixed is None else step @ mixed
    if mixed is None:
        raise InputError(f'no attention of stage {stage} among the records, only {sorted({r.stage for r in records})}')
    return mixed


def _slots(record: Attention) -> Slots:
    if record.plan is None:
        raise InputError(f'attention of kind {record.kind!r} has no windows to put together: use record.weights')
    if isinstance(record.plan, Neighbourhood):
        return neighbourhood_slots(record.plan, record.weights)
    return window_slots(record.plan, record.weights, record.grid)


def _dense(slots: Slots) -> Tensor:
    shape = *slots.weights.shape[:2], *slots.size
    if shape[0] * shape[1] * shape[2] * shape[3] > _LARGEST_DENSE:
        raise InputError(
            f'attention between all {shape[2]} and {shape[3]} tokens would be {shape}: more than 1 GiB; use '
            'attention_from(record, y, x) or attention_received(record), or a smaller image'
        )
    return dense(slots)


def _onto_map(values: Tensor, tokens: Tensor, record: Attention, keys: int) -> Tensor:
    """Sum values (B, heads, n) of key tokens (n,) into one map (B, heads, height, width)."""
    sizes = [grid.height * grid.width for grid in record.keys]
    flat = values.new_zeros(*values.shape[:2], sum(sizes) + 1).index_add(2, tokens, values)
    grid = record.keys[keys]
    return flat.split([*sizes, 1], 2)[:-1][keys].unflatten(2, (grid.height, grid.width))
