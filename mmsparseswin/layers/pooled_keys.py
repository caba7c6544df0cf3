"""A bounded number of keys for attention to a whole token map: the means of its square cells.

Attention between all tokens is quadratic in image area. Windows would bound it too, but end the global view that these
blocks exist for; pooled keys keep it and need no parameter (PVTv2, arXiv 2106.13797, pools to 7 x 7). A cell of n
tokens has log(n) added to its scores (Token Merging, arXiv 2210.09461, "proportional attention"): where all tokens of a
cell are equal, the result is that of the tokens.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mmsparseswin.layers.grid import Grid


class PooledMap(NamedTuple):
    """The cells of a map, and the mean over each as one matrix per axis."""

    cells: Grid
    rows: Tensor  # (1 or B, cells.height, height of the map)
    cols: Tensor  # (1 or B, cells.width, width of the map)
    counts: Tensor  # (1 or B, cells) valid tokens in each


def pool_map(grid: Grid, bound: int | None) -> PooledMap | None:
    """The smallest cells that are no more than ``bound``; None where single tokens are no more.

    Cells are cut at the border of the map, and of the valid area: each image of a batch gets those it gets alone.
    """
    sizes = grid.valid or ((grid.height, grid.width),)
    sides = [_cell_side(height, width, bound) for height, width in sizes]
    if max(sides) == 1:
        return None
    valid = tuple((-(-h // side), -(-w // side)) for (h, w), side in zip(sizes, sides, strict=True))
    height, width = (max(size) for size in zip(*valid, strict=True))
    rows, row_counts = _axis(grid.height, [h for h, _ in sizes], sides, height)
    cols, col_counts = _axis(grid.width, [w for _, w in sizes], sides, width)
    counts = (row_counts[:, :, None] * col_counts[:, None]).flatten(1)
    return PooledMap(Grid(height, width, grid.valid and valid), rows, cols, counts)


def pooled(x: Tensor, cells: PooledMap) -> Tensor:
    """Means (B, cells, C) of tokens (B, N, C); 0 in cells without a valid token."""
    height, width = cells.rows.shape[2], cells.cols.shape[2]
    # No unflatten, and -1 for the images: PyTorch's exporter to ONNX would take their number for a constant.
    maps = x.reshape(-1, height, width, x.shape[-1])
    maps = cells.cols[:, None].to(x.dtype) @ maps  # (B, height, columns of cells, C)
    return (cells.rows.to(x.dtype) @ maps.flatten(2)).view(-1, cells.counts.shape[1], x.shape[-1])


def _cell_side(height: int, width: int, bound: int | None) -> int:
    side = 1
    while bound is not None and -(-height // side) * -(-width // side) > bound:
        side += 1
    return side


def _axis(length: int, valid: list[int], sides: list[int], cells: int) -> tuple[Tensor, Tensor]:
    """Matrix of means (images, cells, length) along one axis, and how many positions each cell has (images, cells)."""
    position, cell = torch.arange(length), torch.arange(cells)[:, None]
    inside = torch.stack(
        [(position // side == cell) & (position < end) for end, side in zip(valid, sides, strict=True)]
    )
    counts = inside.sum(2)
    return inside / counts.clamp(min=1)[:, :, None], counts
