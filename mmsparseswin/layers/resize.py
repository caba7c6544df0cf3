"""Bicubic resizing as constant matrices: differentiable, deterministic and exportable."""

from operator import index

import torch
import torch.nn.functional as F
from torch import Tensor

from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.tables import table


@table(1024)
def resize_matrix(source: int, target: int) -> Tensor:
    """(target, source) bicubic interpolation along one axis, anti-aliased where it shrinks; each row sums to 1."""
    eye = torch.eye(source)
    if source == target:
        return eye
    impulses = eye[None, None]  # each row is one along the width
    return F.interpolate(impulses, (source, target), mode='bicubic', antialias=target < source)[0, 0].t().contiguous()


def _sides(maps: Tensor) -> tuple[int, int]:
    """Return height and width of (..., h, w), constants to a tracer: tables are made for numbers."""
    return index(maps.shape[-2]), index(maps.shape[-1])


def resize_map(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps (..., h, w) to (..., *size); the identity when the size is theirs already."""
    height, width = _sides(x)
    if (height, width) == size:
        return x
    rows = resize_matrix(height, size[0]).to(x)
    cols = resize_matrix(width, size[1]).to(x)
    return rows @ (x @ cols.t())


def resize_sums(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps (..., h, w) of weights that are summed over cells to (..., *size); each keeps its sum.

    Weights are scaled by the ratio of areas. Bicubic borders do not keep sums exactly; the rest is spread evenly, so
    that a constant field has the same sum at every size (docs/models/sparse_swin.md, 'Any size').
    """
    (height, width), area = _sides(maps), size[0] * size[1]
    new = resize_map(maps, size).flatten(-2) * (height * width / area)
    rest = maps.flatten(-2).sum(-1, keepdim=True) - new.sum(-1, keepdim=True)
    return (new + rest / area).unflatten(-1, size)


def resize_positions(table: Tensor, built: tuple[int, int], grid: Grid) -> Tensor:
    """One learned vector per cell of ``built``, (1, cells, C), at ``grid``.

    Returns:
        (1, N, C), or one per image (B, N, C), zero on padding, where valid areas differ.
    """
    maps = table.transpose(1, 2).unflatten(2, built)
    if grid.valid is None:
        return resize_map(maps, (grid.height, grid.width)).flatten(2).transpose(1, 2)
    each = [F.pad(resize_map(maps, (h, w)), (0, grid.width - w, 0, grid.height - h)) for h, w in grid.valid]
    return torch.cat(each).flatten(2).transpose(1, 2)
