"""Resize tensors that are tied to a grid."""

import math
from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor

# End of a tensor's name -> (the axis that is a square grid, how to resize maps (..., h, w) to a size).
Resizing = Mapping[str, tuple[int, Callable[[Tensor, tuple[int, int]], Tensor]]]


def resize_to(name: str, old: Tensor, shape: tuple[int, ...], resizing: Resizing) -> Tensor | None:
    """Return ``old`` at ``shape``, or None if a tensor of this name has no grid or the rest of the shape differs.

    Args:
        name: our name of the tensor.
        old: its value at another size.
        shape: the shape that is needed.
        resizing: the tensors with a grid.
    """
    rule = next((rule for end, rule in resizing.items() if name.endswith(end)), None)
    if rule is None or old.dim() != len(shape):
        return None
    axis, resize = rule
    sides = math.isqrt(old.shape[axis]), math.isqrt(shape[axis])
    same = tuple(old.shape[:axis] + old.shape[axis + 1 :]) == shape[:axis] + shape[axis + 1 :]
    if not same or sides != (old.shape[axis] ** 0.5, shape[axis] ** 0.5):
        return None
    maps = old.float().movedim(axis, -1).unflatten(-1, (sides[0], sides[0]))
    return resize(maps, (sides[1], sides[1])).flatten(-2).movedim(-1, axis).contiguous()


def resize_table(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps (..., h, w) of biases or positions to (..., *size) as published: bicubic, not anti-aliased."""
    return F.interpolate(maps.flatten(0, -3)[None], size, mode='bicubic')[0].unflatten(0, maps.shape[:-2])
