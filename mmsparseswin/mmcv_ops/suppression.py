"""Compute overlaps of boxes (x1, y1, x2, y2) and suppress overlapping ones."""

import numpy as np
import torch
import torchvision
from torch import Tensor

from mmsparseswin.mmcv_ops.precision import round_to_float32, widen


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices of boxes (n, 4) that stay, best score (n,) first.

    `offset` 1 counts the last pixel in, so that a box is x2 - x1 + 1 wide.
    """
    boxes, scores = widen(boxes, scores)
    if offset:
        boxes = torch.cat((boxes[:, :2], boxes[:, 2:] + offset), 1)
    return torchvision.ops.nms(boxes, scores, round_to_float32(iou_threshold))


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Lower the scores of overlapping boxes and return the indices of boxes that stay, on the CPU.

    Writes boxes and new scores into the first rows of `dets` (n, 5). `method` is 0 (suppress), 1 (times 1 - overlap)
    or 2 (Gaussian). A box goes once its score is below `min_score`; the last box takes its place, which decides
    between equal scores.
    """
    left = np.concatenate((_numpy(boxes), _numpy(scores)[:, None]), 1)
    indices: np.ndarray = np.arange(len(left))
    threshold, width, lowest = np.float32(iou_threshold), np.float32(sigma), np.float32(min_score)
    first = 0
    while first < len(left):
        best = first + _first_maximum(left[first:, 4])
        for array in (left, indices):
            array[[first, best]] = array[[best, first]]
        overlap = _overlaps(left[first], left[first + 1 :], offset)
        if method == 2:
            weight = np.exp(-(overlap * overlap) / width)
        else:
            weight = np.where(overlap >= threshold, 1 - overlap if method == 1 else np.float32(0), np.float32(1))
        left[first + 1 :, 4] *= weight
        stay = ~(left[:, 4] < lowest)
        stay[: first + 1] = True
        kept = np.arange(stay.sum())
        holes = np.flatnonzero(~stay[: len(kept)])
        kept[holes] = (len(kept) + np.flatnonzero(stay[len(kept) :]))[::-1]
        left, indices = left[kept], indices[kept]
        first += 1
    dets[: len(left)] = torch.from_numpy(left)
    return torch.from_numpy(indices)


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Group the rows of `dets` (n, 5: box, score): each group is a kept box and those it suppresses, best first."""
    rows = _numpy(dets)
    order = dets[:, 4].sort(descending=True, stable=True).indices.numpy()
    threshold, groups = np.float32(iou_threshold), []
    while len(order):
        best, order = order[0], order[1:]
        suppressed = _overlaps(rows[best], rows[order], 0) >= threshold
        groups.append([int(best), *order[suppressed].tolist()])
        order = order[~suppressed]
    return groups


def bbox_overlaps(bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool, offset: int) -> None:
    """Write the overlap of boxes (n, 4) and (m, 4) into `ious`: (n, m), or (n,) if aligned.

    `mode` is 0 (over the union) or 1 (over the area of the first box).
    """
    one, two = widen(bboxes1, bboxes2)
    if not aligned:
        one = one[:, None]
    size = (torch.min(one[..., 2:], two[..., 2:]) - torch.max(one[..., :2], two[..., :2]) + offset).clamp(min=0)
    shared = size[..., 0] * size[..., 1]
    area1, area2 = ((x[..., 2] - x[..., 0] + offset) * (x[..., 3] - x[..., 1] + offset) for x in (one, two))
    ious.copy_(shared / (area1 if mode else area1 + area2 - shared))


def _numpy(x: Tensor) -> np.ndarray:
    return x.detach().float().numpy()


def _first_maximum(scores: np.ndarray) -> int:
    """Return the index of the first largest score as a loop of `>` finds it: NaN is never larger."""
    if np.isnan(scores[0]):
        return 0
    return int(np.nanargmax(scores))


def _overlaps(box: np.ndarray, others: np.ndarray, offset: int) -> np.ndarray:
    """Return the overlap over the union of a box (4 or more,) with others (n, 4 or more), float32."""
    size = np.minimum(box[2:4], others[:, 2:4]) - np.maximum(box[:2], others[:, :2]) + np.float32(offset)
    shared = np.maximum(size, 0).prod(1)
    sides = others[:, 2:4] - others[:, :2] + np.float32(offset)
    area = (box[2:4] - box[:2] + np.float32(offset)).prod()
    with np.errstate(divide='ignore', invalid='ignore'):  # boxes without area
        return shared / (area + sides.prod(1) - shared)
