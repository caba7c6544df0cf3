"""Compute RoIPool: the maximum of the features in each cell of a box.

mmcv takes a box as far as x2 + 1 without rounding; torchvision's operator of the same name rounds boxes to pixels
first, so it does not serve here.
"""

import torch
from torch import Tensor

from mmsparseswin.mmcv_ops.precision import widen


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Write the maxima of features (B, C, H, W) in boxes (n, 5: image, x1, y1, x2, y2) into `output`.

    `output` and `argmax` are (n, C, height, width); `argmax` becomes the pixel y * W + x, or -1 in cells outside the
    image. Boxes without area leave both as they are.
    """
    features, boxes = widen(input, rois)
    H, W = features.shape[-2:]
    for n, box in enumerate(boxes):
        x1, y1 = box[1:3] * spatial_scale
        x2, y2 = (box[3:] + 1) * spatial_scale
        if x2 <= x1 or y2 <= y1:
            continue
        rows, columns = _cells(y1, y2, pooled_height, H), _cells(x1, x2, pooled_width, W)
        plane = features[int(box[0])]
        # Maxima over a cell's columns first, then over its rows.
        across = [_max(plane[:, :, a:b]) for a, b in columns]  # (C, H) each
        values = torch.stack([value for value, _ in across], -1)  # (C, H, width)
        column = torch.stack([at + a for (_, at), (a, _) in zip(across, columns, strict=True)], -1)
        for i, (a, b) in enumerate(rows):
            value, row = _max(values[:, a:b].transpose(1, 2))  # (C, width)
            row = row + a
            pixel = row * W + column.gather(1, row.clamp(max=H - 1)[:, None])[:, 0]
            empty = value == -torch.inf
            output[n, :, i] = value.masked_fill(empty, 0).to(output.dtype)
            argmax[n, :, i] = pixel.masked_fill(empty, -1).to(argmax.dtype)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Add the gradient of the features to `grad_input` (B, C, H, W)."""
    grad, boxes = widen(grad_output, rois)
    B, C, H, W = grad_input.shape
    plane = (boxes[:, 0].long()[:, None] * C + torch.arange(C, device=grad.device)) * H * W  # (n, C)
    pixel = plane[:, :, None, None] + argmax.clamp(min=0)
    total = grad.new_zeros(B * C * H * W)
    total.index_add_(0, pixel.flatten(), grad.masked_fill(argmax < 0, 0).flatten())
    grad_input += total.view_as(grad_input)


def _cells(start: Tensor, end: Tensor, cells: int, limit: int) -> list[tuple[int, int]]:
    """Return the first pixel and the one behind the last of each cell along one axis, cut at the image."""
    edges = torch.arange(cells + 1, device=start.device) * ((end - start) / cells) + start
    first, last = edges[:-1].floor().clamp(0, limit), edges[1:].ceil().clamp(0, limit)
    return list(zip(first.int().tolist(), last.int().tolist(), strict=True))


def _max(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return maxima and their indices along the last axis; -inf and 0 where it is empty."""
    if x.shape[-1]:
        return tuple(x.max(-1))  # type: ignore[return-value]
    return x.new_full(x.shape[:-1], -torch.inf), x.new_zeros(x.shape[:-1], dtype=torch.long)
