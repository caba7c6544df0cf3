"""Tensors tied to a grid, brought to another grid."""

import math
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from mmsparseswin.layers.resize import resize_map


def resize_to(name: str, old: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """``old`` at ``shape``, or None if a tensor of this name has no grid or the rest of the shape differs.

    Args:
        name: our name of the tensor.
        old: its value at another size.
        shape: the shape that is needed.
    """
    if old.dim() != len(shape):
        return None
    resize: Callable[[Tensor, tuple[int, int]], Tensor]
    if name.endswith('relative_position_bias_table'):
        axis, resize = 0, _resize_bias
    elif name == 'absolute_pos_embed':
        axis, resize = 1, _resize_bias
    elif name.endswith('.lin_t.weight'):
        axis, resize = 1, _resize_sums
    elif name.endswith(('.token_to_map.fc2.weight', '.token_to_map.fc2.bias')):
        axis, resize = 0, resize_map
    else:
        return None
    sides = math.isqrt(old.shape[axis]), math.isqrt(shape[axis])
    same = tuple(old.shape[:axis] + old.shape[axis + 1 :]) == shape[:axis] + shape[axis + 1 :]
    if not same or sides != (old.shape[axis] ** 0.5, shape[axis] ** 0.5):
        return None
    maps = old.float().movedim(axis, -1).unflatten(-1, (sides[0], sides[0]))
    return resize(maps, (sides[1], sides[1])).flatten(-2).movedim(-1, axis).contiguous()


def _resize_bias(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (..., h, w) -> (..., *size) as published: bicubic, not anti-aliased."""
    return F.interpolate(maps.flatten(0, -3)[None], size, mode='bicubic')[0].unflatten(0, maps.shape[:-2])


def _resize_sums(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps of weights that are summed over cells, keep each sum (docs/models/sparse_swin.md, 'Any size')."""
    new = resize_map(maps, size) * (maps.shape[-2] * maps.shape[-1] / (size[0] * size[1]))
    rest = maps.sum((-2, -1), keepdim=True) - new.sum((-2, -1), keepdim=True)
    return new + rest / (size[0] * size[1])
