"""Compute RoIAlign: features at points of a grid in each box, their mean or their maximum per cell."""

import torch
import torchvision
from torch import Tensor

from mmsparseswin.mmcv_ops.precision import widen

_MAXIMUM = 0
# The maximum of a cell without points, as in mmcv.
_EMPTY = -10000.0


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Pool features (B, C, H, W) in boxes (n, 5: image, x1, y1, x2, y2) into `output` (n, C, height, width).

    `pool_mode` 0 takes the maximum, and writes where it stands into `argmax_y` and `argmax_x`; 1 takes the mean.
    """
    features, boxes = widen(input, rois)
    size = (aligned_height, aligned_width)
    if pool_mode != _MAXIMUM:
        output.copy_(torchvision.ops.roi_align(features, boxes, size, spatial_scale, sampling_ratio, aligned))
        return
    for n, box in enumerate(boxes):
        y, x = _points(box, size, spatial_scale, sampling_ratio, aligned)
        value, at_y, at_x = _maximum(features[int(box[0])], y, x)
        output[n], argmax_y[n], argmax_x[n] = value.to(output.dtype), at_y.to(output.dtype), at_x.to(output.dtype)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Add the gradient of the features to `grad_input` (B, C, H, W)."""
    grad, boxes = widen(grad_output, rois)
    if pool_mode != _MAXIMUM:
        size = (aligned_height, aligned_width)
        # Call the backward operator of torchvision.ops.roi_align; autograd would run the forward again.
        backward = torch.ops.torchvision._roi_align_backward
        grad_input += backward(grad, boxes, spatial_scale, *size, *grad_input.shape, sampling_ratio, aligned)
        return
    B, C, H, W = grad_input.shape
    y, x = widen(argmax_y, argmax_x)  # (n, C, height, width)
    image = boxes[:, 0].long()[:, None, None, None]
    plane = (image * C + torch.arange(C, device=grad.device)[:, None, None]) * H * W
    total = grad.new_zeros(B * C * H * W)
    for row, column, weight in _corners(y, x, (H, W)):
        weight = torch.where((y == -1) & (x == -1), 0, weight)  # cells without points
        total.index_add_(0, (plane + row * W + column).flatten(), (grad * weight).flatten())
    grad_input += total.view_as(grad_input)


def _points(
    box: Tensor, size: tuple[int, int], spatial_scale: float, sampling_ratio: int, aligned: bool
) -> tuple[Tensor, Tensor]:
    """Return y (height, points of a cell) and x (width, points of a cell) of the grid in a box (5,)."""
    x1, y1, x2, y2 = box[1:] * spatial_scale - (0.5 if aligned else 0.0)
    axes = []
    for start, end, cells in ((y1, y2, size[0]), (x1, x2, size[1])):
        length = end - start if aligned else (end - start).clamp(min=1)
        points = sampling_ratio if sampling_ratio > 0 else max(int((length / cells).ceil()), 0)
        cell = length / cells
        inside = (torch.arange(points, device=box.device) + 0.5) * cell / max(points, 1)
        axes.append(start + torch.arange(cells, device=box.device)[:, None] * cell + inside)
    return axes[0], axes[1]


def _maximum(features: Tensor, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the maxima of features (C, H, W) over the points of each cell and their y and x: (C, height, width)."""
    C, H, W = features.shape
    rows, columns = y.shape[1], x.shape[1]
    shape = (C, len(y), len(x))
    if not rows * columns:
        return features.new_full(shape, _EMPTY), features.new_full(shape, -1), features.new_full(shape, -1)
    y, x = torch.broadcast_tensors(y[:, None, :, None], x[None, :, None, :])  # (height, width, rows, columns)
    outside = (y < -1) | (y > H) | (x < -1) | (x > W)
    values = sum(features[:, row, column] * weight for row, column, weight in _corners(y, x, (H, W)))
    values = torch.where(outside, 0, values).flatten(-2)
    value, at = values.max(-1)
    at_y, at_x = (p.flatten(-2).expand(C, -1, -1, -1).gather(-1, at[..., None]).squeeze(-1) for p in (y, x))
    low = value <= _EMPTY
    return value.clamp(min=_EMPTY), at_y.masked_fill(low, -1), at_x.masked_fill(low, -1)


def _corners(y: Tensor, x: Tensor, size: tuple[int, int]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return row, column and weight of the four pixels around each point; the border's pixels reach to infinity.

    Points more than a pixel outside get the weight 0.
    """
    H, W = size
    inside = ((y >= -1) & (y <= H) & (x >= -1) & (x <= W)).to(y.dtype)
    axes = []
    for point, end in ((y, H - 1), (x, W - 1)):
        point = point.clamp(0, end)
        low = point.long()
        axes.append(((low, 1 - (point - low)), ((low + 1).clamp(max=end), point - low)))
    return [(row, column, up * left * inside) for row, up in axes[0] for column, left in axes[1]]
