"""Backbones of windows on a padded image whose valid size is a tensor: window plans as graph operations.

The grid has one size, that of the padded image; how much of it is picture is known when the file runs. Each picture
gets the windows that it would get alone, as :func:`mmsparseswin.layers.windows.window_plan` makes them.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsparseswin.backbones.sparse_swin import SparseSwin
from mmsparseswin.backbones.swin import Swin
from mmsparseswin.detection.valid_area import ValidAreaDetDataPreprocessor
from mmsparseswin.layers.fast_path import PLAIN
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.patches import PatchEmbed, PatchMerging
from mmsparseswin.layers.resize import resize_matrix
from mmsparseswin.layers.sparse_stage import SparseStage, TokensToMapAttention
from mmsparseswin.layers.swin_block import SwinBlock, SwinStage
from mmsparseswin.layers.windows import MASKED, WindowPlan

Size = tuple[Tensor, Tensor]  # height and width of the picture, in cells of some grid


def is_known(backbone: nn.Module) -> bool:
    """Return True if :func:`run` computes this backbone."""
    return (
        type(backbone) in (Swin, SparseSwin)
        and backbone.absolute_pos_embed is None
        and backbone.out_type == 'featmap'
        and type(backbone.patch_embed) is PatchEmbed
        and all(_is_known_stage(stage) for stage in backbone.stages)
    )


def _is_known_stage(stage: Any) -> bool:
    if type(stage.downsample) not in (PatchMerging, type(None)):
        return False
    if isinstance(stage, SparseStage):
        return stage.token_resize == 'weight' and isinstance(stage.token_to_map, TokensToMapAttention)
    whole = type(stage) is SwinStage and stage.keep == 1 and stage.threshold == 0
    return whole and all(type(block) is SwinBlock for block in stage.blocks)


def knows_area(model: Any) -> bool:
    """Return True if the detector tells its backbone what is padding, and :func:`run` computes that backbone."""
    return type(model.data_preprocessor) is ValidAreaDetDataPreprocessor and is_known(model.backbone)


def extract_maps(model: Any, image: Tensor, size: Tensor) -> tuple[Tensor, ...]:
    """Return the maps that the heads of the detector take, of an image of which ``size`` is picture."""
    if not knows_area(model):
        return model.extract_feat(image)
    maps = run(model.backbone, image, size)
    return model.neck(maps) if model.with_neck else maps


def run(backbone: Any, image: Tensor, size: Tensor) -> tuple[Tensor, ...]:
    """Return the maps of the backbone, zero on padding.

    Args:
        backbone: one that :func:`is_known`.
        image: (1, 3, H, W).
        size: (2,) int64, height and width of the picture in its top left corner.
    """
    pixels = Grid(int(image.shape[2]), int(image.shape[3]))
    x, grid = backbone.patch_embed(image * _mask(pixels, (size[0], size[1])), pixels)
    patch = backbone.patch_embed.patch_size
    area = (_coarser(size[0], patch), _coarser(size[1], patch))
    outs = []
    for i, stage in enumerate(backbone.stages):
        x = x * _mask(grid, area).flatten()[:, None]
        if isinstance(stage, SparseStage):
            tokens = _sparse_tokens(stage, x, grid, area)
            x, grid = stage.downsample(x, grid)  # type: ignore[misc]
            area = (_coarser(area[0], 2), _coarser(area[1], 2))
            x = stage.token_to_map(x, tokens)[0]  # type: ignore[misc]
        else:
            if stage.downsample is not None:
                x, grid = stage.downsample(x, grid)
                area = (_coarser(area[0], 2), _coarser(area[1], 2))
            for block in stage.blocks:
                plan = make_plan(grid, area, block.attn.window, block.shift, block.shift_single)
                x = x + block.attend(x, plan, PLAIN)
                x = x + block.transform(x, PLAIN)
        if i in backbone.out_indices:
            norm = getattr(backbone, f'norm{i}', None)
            out = x if norm is None else norm(x)
            outs.append(grid.to_map(out) * _mask(grid, area))
    return tuple(outs)


def make_plan(grid: Grid, area: Size, window: tuple[int, int], shift: bool, shift_single: bool) -> WindowPlan:
    """Make the window plan of a grid of which ``area`` is picture; every window gets a mask if the windows are shifted.

    Windows beyond the area hold the zero row alone, and tokens beyond it get back whatever slot 0 holds.
    """
    zero_row = grid.height * grid.width
    rows, row_region = _axis(grid.height, area[0], window[0], shift, shift_single)
    columns, column_region = _axis(grid.width, area[1], window[1], shift, shift_single)
    outside = (rows < 0)[:, None] | (columns < 0)
    token = _windows(torch.where(outside, zero_row, rows[:, None] * grid.width + columns), window)
    gather = token.flatten()
    slots = torch.arange(gather.numel())
    inverse = torch.zeros(zero_row + 1, dtype=torch.long).scatter(0, gather, slots)[:-1]
    mask = None
    if shift:
        region = _windows(row_region[:, None] * 3 + column_region, window)
        mask = (region[:, None] != region[:, :, None]) * MASKED
    return WindowPlan(gather, inverse, mask, torch.arange(token.shape[0]), padded=True, flat=False)


def _axis(length: int, valid: Tensor, window: int, shift: bool, shift_single: bool) -> tuple[Tensor, Tensor]:
    """Return the positions along an axis in window order, -1 for padding, and the region of each."""
    slots, step = torch.arange(-(-length // window) * window), window // 2
    whole = _coarser(valid, window) * window  # the axis of the picture alone, in whole windows
    if not shift:
        return torch.where(slots < valid, slots, -1), torch.zeros_like(slots)
    moves = torch.ones_like(whole) if shift_single else (whole > window).long()
    position = (slots + step * moves) % whole
    position = torch.where((position < valid) & (slots < whole), position, -1)
    region = (slots >= whole - window).long() + (slots >= whole - step).long()
    return position, region * moves


def _windows(x: Tensor, window: tuple[int, int]) -> Tensor:
    """(height, width) -> (windows, area)."""
    rows, columns = int(x.shape[0]) // window[0], int(x.shape[1]) // window[1]
    x = x.view(rows, window[0], columns, window[1])
    return x.transpose(1, 2).reshape(rows * columns, window[0] * window[1])


def _coarser(cells: Tensor, factor: int) -> Tensor:
    return (cells + (factor - 1)) // factor


def _mask(grid: Grid, area: Size) -> Tensor:
    """(height, width) float, 1 on the picture."""
    rows, columns = torch.arange(grid.height) < area[0], torch.arange(grid.width) < area[1]
    return (rows[:, None] & columns).float()


def _sparse_tokens(stage: SparseStage, x: Tensor, grid: Grid, area: Size) -> Tensor:
    """Tokens (1, N, C), zero on padding -> (1, T, E), by the token layer resized to the area alone."""
    side = stage.grid_size
    features = stage.convert(x.transpose(1, 2).unflatten(2, (grid.height, grid.width)))
    built = stage.lin_t.weight.unflatten(1, (side, side))
    rows, columns = (_resizing(side, length)[n] for length, n in zip(grid[:2], area, strict=True))
    cells = (area[0] * area[1]).to(x.dtype)
    weight = (rows @ (built @ columns.t())).flatten(1) * (side * side / cells)
    rest = (built.flatten(1).sum(1, keepdim=True) - weight.sum(1, keepdim=True)) / cells
    weight = weight + rest * _mask(grid, area).flatten()
    tokens = (F.linear(features.flatten(2), weight) + stage._token_bias()).transpose(1, 2)
    for block in stage.blocks:
        tokens = block(tokens)[0]
    return stage.norm(tokens)


def _resizing(side: int, length: int) -> Tensor:
    """(length + 1, length, side): at n the matrix that resizes ``side`` cells to n, with zero rows behind."""
    return torch.stack(
        [torch.zeros(length, side)]
        + [F.pad(resize_matrix(side, n), (0, 0, 0, length - n)) for n in range(1, length + 1)]
    )
