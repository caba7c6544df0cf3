"""Truth beside prediction: the pictures of a COCO set with both drawn in the same colours."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as run_lengths

from mmsparseswin.visualization.flagged import read_picture
from mmsparseswin.visualization.marks import Marks, draw_marks
from mmsparseswin.visualization.sheets import beside, with_heading


def truth_beside_prediction(
    truth: dict[str, Any],
    predictions: Sequence[dict[str, Any]],
    names: tuple[str, ...],
    folder: str,
    threshold: float,
    side: int,
) -> Iterator[Image.Image]:
    """Yield a tile per picture, in the order of the file.

    Args:
        truth: of read_truth.
        predictions: of read_predictions; those with a `segmentation` get their masks.
        names: of the classes.
        folder: of the pictures.
        threshold: predictions below this score are left out.
        side: longer side of one of the two pictures, in pixels.
    """
    labelled, found = defaultdict(list), defaultdict(list)
    for one in truth['annotations']:
        labelled[one['image_id']].append(one)
    for one in predictions:
        if one['score'] >= threshold:
            found[one['image_id']].append(one)
    for image in truth['images']:
        size = (image['width'], image['height'])
        pixels = read_picture(os.path.join(folder, image['file_name']), size)
        parts = []
        for heading, records in (('truth', labelled[image['id']]), ('prediction', found[image['id']])):
            records = sorted(records, key=lambda one: one.get('score', 0))
            drawn = draw_marks(pixels, _marks(records, names, size), names, side)
            parts.append(with_heading(drawn, heading, lines=1, bold=True))
        yield with_heading(beside(parts, 4), image['file_name'], lines=1)


def _marks(records: Sequence[dict[str, Any]], names: tuple[str, ...], size: tuple[int, int]) -> Marks:
    boxes = np.array([one['bbox'] for one in records], dtype=float).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    labels = np.array([one['category_id'] - 1 for one in records], dtype=int)
    texts = []
    for one, label in zip(records, labels, strict=True):
        score = f' {100 * one["score"]:.0f}' if 'score' in one else ''
        texts.append(f'{names[label]}{score}{" (crowd)" if one.get("iscrowd") else ""}')
    masks = None
    if records and any(one.get('segmentation') for one in records):
        masks = np.stack([_mask(one.get('segmentation'), size) for one in records])
    return Marks(boxes, labels, None, masks, texts)


def _mask(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """Return a mask (height, width) of polygons or of an RLE; an empty one where there is none."""
    width, height = size
    if not segmentation:
        return np.zeros((height, width), bool)
    if isinstance(segmentation, dict) and isinstance(segmentation['counts'], (str, bytes)):
        return run_lengths.decode(segmentation).astype(bool)
    parts = run_lengths.frPyObjects(segmentation, height, width)
    return run_lengths.decode(run_lengths.merge(parts) if isinstance(parts, list) else parts).astype(bool)
