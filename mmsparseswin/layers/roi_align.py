"""Compute RoIAlign (Mask R-CNN, arXiv 1703.06870, section 3) as a weighted sum of rows of a channels-last map."""

import torch
import torch.nn.functional as F
from torch import Tensor


def roi_align(
    features: Tensor,
    boxes: Tensor,
    size: tuple[int, int],
    scale: float = 1.0,
    sampling_ratio: int = 0,
    aligned: bool = True,
) -> Tensor:
    """Pool features (B, C, H, W) in boxes (n, 5: image, x1, y1, x2, y2 in pixels) to (n, C, *size), channels-last.

    Same arguments, numbers and gradients as torchvision's. A cell is the mean of bilinear samples, so it is a weighted
    sum of pixels; samples that share a pixel are merged, and an embedding bag sums whole rows of C numbers, which needs
    features in channels-last layout to be fast.
    """
    B, C, H, W = features.shape
    x1, y1, x2, y2 = (
        boxes[:, 1:].to(torch.promote_types(boxes.dtype, torch.float32)) * scale - (0.5 if aligned else 0.0)
    ).unbind(1)
    width, height = x2 - x1, y2 - y1
    if not aligned:
        width, height = width.clamp(min=1), height.clamp(min=1)
    top, down = _axis(y1, height, size[0], sampling_ratio, H)
    left, across = _axis(x1, width, size[1], sampling_ratio, W)
    weights = down[:, :, None, :, None] * across[:, None, :, None, :]  # (n, rows, columns, pixels, pixels)
    y = top[:, :, None] + torch.arange(down.shape[-1], device=top.device)
    x = left[:, :, None] + torch.arange(across.shape[-1], device=left.device)
    pixels = (boxes[:, 0].long()[:, None, None] * H + y)[:, :, None, :, None] * W + x[:, None, :, None, :]
    used = (weights != 0).flatten(3)
    ends = used.sum(3).flatten().cumsum(0)
    table = features.permute(0, 2, 3, 1).reshape(B * H * W, C)
    pooled = F.embedding_bag(
        pixels.flatten(3)[used],
        table,
        F.pad(ends[:-1], (1, 0)) if len(ends) else ends,
        mode='sum',
        per_sample_weights=weights.flatten(3)[used].to(table.dtype),
    )
    return pooled.view(len(boxes), *size, C).permute(0, 3, 1, 2)


def _axis(start: Tensor, length: Tensor, cells: int, sampling_ratio: int, limit: int) -> tuple[Tensor, Tensor]:
    """Return the first pixel (n, cells) of each cell along one axis and the weights (n, cells, pixels) from it on."""
    points = (length / cells).ceil().clamp(min=0) if sampling_ratio <= 0 else torch.full_like(length, sampling_ratio)
    most = max(int(points.max()), 1) if len(points) else 1
    step = (length / cells)[:, None, None] / points.clamp(min=1)[:, None, None]
    at = torch.arange(most, device=start.device)
    cell = torch.arange(cells, device=start.device)[:, None] * (length / cells)[:, None, None]
    point = start[:, None, None] + cell + (at + 0.5) * step  # (n, cells, points)
    # Samples more than one pixel outside of the map count as 0; the others take the border's pixel.
    share = ((at < points[:, None, None]) & (point >= -1) & (point <= limit)) / points.clamp(min=1)[:, None, None]
    point = point.clamp(0, limit - 1)
    low = point.long()
    high = (low + 1).clamp(max=limit - 1)
    first = low.amin(2)
    pixels = int((high.amax(2) - first).max()) + 1 if len(points) else 1
    weights = point.new_zeros(*first.shape, pixels)
    weights.scatter_add_(2, low - first[..., None], share * (1 - (point - low)))
    weights.scatter_add_(2, high - first[..., None], share * (point - low))
    return first, weights
