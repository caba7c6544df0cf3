"""Detections of a picture, and what is done to them after the network: NMS, and masks in the picture's own pixels."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class Detected(NamedTuple):
    """Objects of a picture, the best score first.

    Attributes:
        boxes: (n, 4) float32, x1, y1, x2, y2 in pixels of the picture as it was given.
        scores: (n,) float32.
        labels: (n,) int64.
        names: names of their classes.
        masks: (n, height, width) bool, of the whole picture; None of a detector without masks.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    masks: np.ndarray | None = None


def suppress_as(settings: Mapping[str, Any], boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return what :func:`suppress` does by the settings that the JSON of a file tells."""
    limits = {key: settings[key] for key in ('score_thr', 'iou_threshold', 'max_per_img', 'class_agnostic')}
    return suppress(boxes, scores, labels, **limits)


def suppress(
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    score_thr: float,
    iou_threshold: float,
    max_per_img: int,
    class_agnostic: bool,
) -> np.ndarray:
    """Return the numbers of the boxes (n, 4) that stay, the best score first, at most ``max_per_img``.

    A box goes if its score is not above ``score_thr``, or if it overlaps a better one, of its class or of any, by more
    than ``iou_threshold``.
    """
    order = np.flatnonzero(scores > np.float32(score_thr))
    order = order[np.argsort(-scores[order], kind='stable')]
    if not class_agnostic and len(order):  # boxes of different classes never meet
        boxes = boxes + (labels * (boxes[order].max() + 1)).astype(np.float32)[:, None]
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    kept: list[int] = []
    while len(order) and len(kept) < max_per_img:
        best, order = order[0], order[1:]
        kept.append(int(best))
        sides = np.minimum(boxes[best, 2:], boxes[order, 2:]) - np.maximum(boxes[best, :2], boxes[order, :2])
        shared = sides.clip(0).prod(1)
        union = area[best] + area[order] - shared
        order = order[~(shared > np.float32(iou_threshold) * union)]
    return np.array(kept, dtype=np.int64)


def paste_masks(masks: np.ndarray, boxes: np.ndarray, size: tuple[int, int], threshold: float) -> np.ndarray:
    """Stretch masks over their boxes, as mmdet's FCNMaskHead does: bilinear, zero outside.

    Args:
        masks: (n, h, w) probabilities.
        boxes: (n, 4) in pixels of the picture.
        size: height and width of the picture.
        threshold: least probability of an object's pixel.

    Returns:
        (n, height, width) bool.
    """
    found = np.zeros((len(masks), *size), dtype=bool)
    arrays: list[Any] = [found, masks.astype(np.float32), boxes.astype(np.float32)]
    for place, mask, box in zip(*arrays, strict=True):
        first = np.maximum(np.floor(box[:2]) - 1, 0).astype(int)
        last = np.minimum(np.ceil(box[2:]) + 1, size[::-1]).astype(int)
        columns = _bilinear(first[0], last[0], box[0], box[2], mask.shape[1])
        rows = _bilinear(first[1], last[1], box[1], box[3], mask.shape[0])
        place[first[1] : last[1], first[0] : last[0]] = rows @ mask @ columns.T >= threshold
    return found


def _bilinear(first: int, last: int, start: np.float32, end: np.float32, cells: int) -> np.ndarray:
    """Return the weights (pixels, cells) of the cells between ``start`` and ``end`` at the middles of pixels."""
    with np.errstate(divide='ignore', invalid='ignore'):  # a box without width
        at = (np.arange(first, last, dtype=np.float32) + np.float32(0.5) - start) / (end - start) * cells - 0.5
    at = np.where(np.isfinite(at), at, np.float32(cells / 2 - 0.5))
    return (1 - np.abs(at[:, None] - np.arange(cells, dtype=np.float32))).clip(0)
