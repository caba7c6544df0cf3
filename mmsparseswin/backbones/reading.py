"""Read the sizes of a Swin off its weights."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mmsparseswin.checkpoints.architecture import whole_block_counts
from mmsparseswin.errors import InputError

_MOST_STAGES = 8  # widths double from stage to stage


@dataclass
class SwinSizes:
    """Sizes of a Swin's stages, without one of sparse tokens.

    Attributes:
        embed_dims: channels of the first stage.
        in_channels: channels of the image.
        patch_size: side of a patch.
        depths: blocks of each stage.
        num_heads: heads of each stage.
        windows: side of a window of each stage.
    """

    embed_dims: int
    in_channels: int
    patch_size: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]
    windows: tuple[int, ...]

    @property
    def unclipped(self) -> int:
        """The smallest image side that clips no window."""
        return max(self.patch_size * 2**i * window for i, window in enumerate(self.windows))

    def arch(self) -> dict[str, Any]:
        """Return what an arch dict needs."""
        return {'embed_dims': self.embed_dims, 'depths': self.depths, 'num_heads': self.num_heads}


def read_sizes(tensors: Mapping[str, Tensor], stem: bool, sparse: int | None = None) -> SwinSizes:
    """Read the sizes of all Swin stages.

    Args:
        tensors: a state dict by our names.
        stem: the patch embedding is the convolutional stem.
        sparse: number of the stage of sparse tokens, which is left out.

    Raises:
        InputError: a tensor that tells a size is missing, or tells an impossible one.
    """
    counts = whole_block_counts(tensors)
    stages = [i for i in counts if i != sparse]
    if not stages or stages != list(range(len(stages))):
        raise InputError(f'blocks are there of stages {stages} only; all from 0 on are needed')
    if len(stages) > _MOST_STAGES:
        raise InputError(f'blocks are there of {len(stages)} stages; {_MOST_STAGES} are the most')
    tables = [get(tensors, f'stages.{i}.blocks.0.attn.relative_position_bias_table', 2) for i in stages]
    if stem:
        half, channels, _, _ = get(tensors, 'patch_embed.conv1.weight', 4).shape
        dims, patch = 2 * half, 4
    else:
        dims, channels, patch, _ = get(tensors, 'patch_embed.proj.weight', 4).shape
    windows = tuple(table_side(f'stages.{i}', table) for i, table in enumerate(tables))
    heads = tuple(int(table.shape[1]) for table in tables)
    return SwinSizes(dims, channels, patch, tuple(counts[i] for i in stages), heads, windows)


def read_norms(tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Return the stages whose output has a norm."""
    return tuple(sorted(int(m[1]) for name in tensors if (m := re.fullmatch(r'norm(\d)\.weight', name))))


def name_arch(
    zoo: Mapping[str, Mapping[str, Any]], defaults: Mapping[str, Any], arch: dict[str, Any], windows: tuple[int, ...]
) -> str | dict[str, Any]:
    """Return the name in ``zoo`` that has the sizes of ``arch``, or ``arch``.

    An arch that names windows must have these; it goes before one that names none. With sparse tokens only the depths
    and heads of the stages before them count.
    """

    def same(value: Any, published: Any) -> bool:
        if not isinstance(value, tuple):
            return value == published
        return value == tuple(published[: len(value)] if 'num_tokens' in arch else published)

    fitting = [
        name
        for name, published in zoo.items()
        if all(same(value, {**defaults, **published}[key]) for key, value in arch.items())
    ]
    for name in fitting:
        if 'window_size' in zoo[name]:
            size = zoo[name]['window_size']
            if windows == ((size,) * len(windows) if isinstance(size, int) else tuple(size)):
                return name
    return next((name for name in fitting if 'window_size' not in zoo[name]), arch)


def get(tensors: Mapping[str, Tensor], name: str, axes: int) -> Tensor:
    """Return the tensor ``name``, which must be there and have so many axes."""
    if name not in tensors:
        raise InputError(f'{name} is missing: the weights are incomplete')
    if tensors[name].dim() != axes:
        raise InputError(f'{name} has shape {tuple(tensors[name].shape)}; {axes} axes are needed')
    return tensors[name]


def square_side(name: str, cells: int) -> int:
    """Return the side of a square grid of ``cells``."""
    side = math.isqrt(cells)
    if side * side != cells:
        raise InputError(f'{name} spans {cells} positions, which is no square grid')
    return side


def table_side(part: str, table: Tensor) -> int:
    """Return the side of the square window that a bias table (offsets, heads) of ``part`` is for."""
    side = square_side(f'{part}: the relative_position_bias_table', table.shape[0])
    if side % 2 == 0:
        raise InputError(f'{part}: a bias table of {table.shape[0]} rows belongs to no window')
    return (side + 1) // 2


def check_windows(sizes: SwinSizes, img_size: int) -> None:
    """Check that no window is larger than the grid of its stage."""
    for i, window in enumerate(sizes.windows):
        grid = math.ceil(img_size / (sizes.patch_size * 2**i))
        if window > grid:
            raise InputError(
                f'stages.{i}.blocks.0.attn.relative_position_bias_table is for a window of {window}, but the grid has '
                f'{grid} cells at img_size {img_size}: its model pads inside windows, ours clips them'
            )
