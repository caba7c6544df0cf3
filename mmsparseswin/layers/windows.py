"""Window plans: padding, cyclic shift and partition of a token grid as one permutation.

Swin pads the grid to whole windows, rolls it and cuts it into windows, and undoes all three after attention. Each of
these moves tokens and changes none, so the whole way there is one gather index, and the way back its inverse
(Swin, arXiv 2103.14030, section 3.2, "efficient batch computation").
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmsparseswin.layers.fast_path import PLAIN, FastPath
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.tables import table, to_device

# What the published models add between tokens of different regions; exp(-100) is 0 in every float type.
MASKED = -100.0


class WindowPlan(NamedTuple):
    """How to take windows out of a token grid and put them back.

    Windows with tokens of a single region come first and need no mask; the few at the seam of the shift follow, so that
    the mask is as small as they are.
    """

    gather: Tensor  # (windows * area,) token of each slot; the token one past the last is a zero row
    inverse: Tensor  # (tokens,) slot of each token (any slot for tokens outside the valid area)
    mask: Tensor | None  # (masked windows, area, area), 0 or MASKED
    order: Tensor  # (windows,) place of each window in row-major order
    padded: bool  # whether `gather` uses the zero row
    flat: bool  # whether tokens are numbered through the whole batch, because its images differ in valid size

    def to_windows(self, x: Tensor, fast: FastPath = PLAIN) -> Tensor:
        """Tokens (B, N, C) in grid order -> (B, windows * area, C), or (1, all windows * area, C) if flat."""
        if self.flat:
            x = x.reshape(1, -1, x.shape[-1])
        elif fast.enabled and x.requires_grad:
            return _Move.apply(x, self.gather, self.padded, self.inverse, False)
        return _move(x, self.gather, self.padded)

    def to_grid(self, x: Tensor, fast: FastPath = PLAIN) -> Tensor:
        """The way back: (B, windows * area, C) -> (B, N, C), or (1, windows * area, C) -> (1, B * N, C) if flat."""
        if not self.flat and fast.enabled and x.requires_grad:
            return _Move.apply(x, self.inverse, False, self.gather, self.padded)
        return _move(x, self.inverse, False)


def _move(x: Tensor, index: Tensor, padded: bool) -> Tensor:
    return (F.pad(x, (0, 0, 0, 1)) if padded else x).index_select(1, index)


class _Move(torch.autograd.Function):
    """Tokens to other places, none to two of them: gradients move back, where ``index_select`` would add them up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, there: Tensor, padded: bool, back: Tensor, padded_back: bool) -> Tensor:
        ctx.save_for_backward(back)
        ctx.padded = padded_back
        return _move(x, there, padded)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        (back,) = ctx.saved_tensors
        return _move(grad, back, ctx.padded), None, None, None, None


# 8 plans serve a detector at one size; 256 hold every size of a multi-scale training on one device.
@table(256)
def window_plan(
    grid: Grid, window: tuple[int, int], shift: bool, device: torch.device, shift_single: bool = False
) -> WindowPlan:
    """The plan for one grid, cached by all it depends on.

    An image that is smaller than the grid (``grid.valid``) gets the very windows it would get alone, so that padding it
    to the size of its batch changes nothing. An axis that one window covers is not shifted, unless ``shift_single``.
    """
    return to_device(_make_plan(grid, window, shift, shift_single), device)


def _make_plan(grid: Grid, window: tuple[int, int], shift: bool, shift_single: bool) -> WindowPlan:
    cells = grid.height * grid.width
    sizes = grid.valid or ((grid.height, grid.width),)
    zero_row = len(sizes) * cells
    tokens, regions = [], []
    for image, (height, width) in enumerate(sizes):
        rows, row_region = axis_positions(height, window[0], shift, shift_single)
        cols, col_region = axis_positions(width, window[1], shift, shift_single)
        token = image * cells + rows[:, None] * grid.width + cols[None]
        token[rows < 0] = zero_row
        token[:, cols < 0] = zero_row
        tokens.append(_partition(token, window))
        regions.append(_partition(row_region[:, None] * 3 + col_region[None], window))
    token, region = torch.cat(tokens), torch.cat(regions)  # (windows, area)

    seam = (region != region[:, :1]).any(1)
    order = torch.argsort(seam.long(), stable=True)
    token, region = token[order], region[order][int((~seam).sum()) :]
    mask = (region[:, None] != region[:, :, None]) * MASKED if len(region) else None

    gather = token.flatten()
    inverse = torch.zeros(zero_row + 1, dtype=torch.long)
    inverse[gather] = torch.arange(gather.numel())
    return WindowPlan(
        gather,
        inverse[:-1],
        mask,
        torch.argsort(order),
        bool((gather == zero_row).any()),
        grid.valid is not None,
    )


def axis_positions(length: int, window: int, shift: bool, shift_single: bool) -> tuple[Tensor, Tensor]:
    """Return the positions along one axis in window order (-1 is padding), and the region of each."""
    padded = -(-length // window) * window
    position = torch.arange(padded)
    region = torch.zeros(padded, dtype=torch.long)
    if shift and (shift_single or padded > window):
        step = window // 2
        region[-window:-step] = 1
        region[-step:] = 2
        position = position.roll(-step)
    position[position >= length] = -1
    return position, region


def _partition(x: Tensor, window: tuple[int, int]) -> Tensor:
    """(height, width) -> (windows, area), windows and cells in row-major order."""
    height, width = x.shape
    x = x.view(height // window[0], window[0], width // window[1], window[1])
    return x.transpose(1, 2).reshape(-1, window[0] * window[1])
