"""Facts of a detector's data set: as its files have it, and as the model gets it after resizing and augmentation."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from mmsparseswin.visualization.samples import Samples

SMALL, MEDIUM = 32.0**2, 96.0**2  # areas in pixels that part COCO's sizes


@dataclass
class StoredFacts:
    """What an annotation file says; crowds are left out, but counted."""

    sizes: np.ndarray  # (images, 2) width, height
    boxes: np.ndarray  # (objects, 2) width, height
    labels: np.ndarray  # (objects,)
    per_image: np.ndarray  # (images,) objects
    crowds: int


@dataclass
class SeenFacts:
    """What a sample of pictures looks like to the model."""

    samples: int
    sizes: np.ndarray  # (samples, 2) width, height
    boxes: np.ndarray  # (objects, 2) width, height


def stored_facts(annotations: str, names: Sequence[str]) -> StoredFacts:
    """Read an annotation file; objects of other categories than `names` are left out."""
    content = json.loads(Path(annotations).read_bytes().decode('utf-8-sig'))
    label = {one['id']: list(names).index(one['name']) for one in content['categories'] if one['name'] in names}
    place = {one['id']: index for index, one in enumerate(content['images'])}
    known = [one for one in content.get('annotations', []) if one['category_id'] in label]
    chosen = [one for one in known if not one.get('iscrowd')]
    per_image = np.bincount([place[one['image_id']] for one in chosen], minlength=len(place))
    return StoredFacts(
        np.array([(one['width'], one['height']) for one in content['images']], dtype=float).reshape(-1, 2),
        np.array([one['bbox'][2:] for one in chosen], dtype=float).reshape(-1, 2),
        np.array([label[one['category_id']] for one in chosen], dtype=int),
        per_image,
        len(known) - len(chosen),
    )


def seen_facts(samples: Samples, number: int, seed: int) -> SeenFacts:
    """Draw up to `number` pictures through the pipeline of the data set."""
    sizes, boxes = [], []
    indices = samples.choose(number, seed, shuffle=True)
    for index in indices:
        data = samples.dataset[index]
        truth = data['data_samples'].gt_instances.bboxes
        corners = np.asarray(getattr(truth, 'tensor', truth), dtype=float).reshape(-1, 4)
        if 'scale_factor' in data['data_samples'] and _in_pixels_of_file(samples.dataset):
            corners = corners * np.tile(data['data_samples'].scale_factor, 2)
        boxes.append(corners[:, 2:] - corners[:, :2])
        sizes.append(data['inputs'].shape[:0:-1])
    return SeenFacts(len(indices), np.array(sizes, dtype=float), np.concatenate([*boxes, np.zeros((0, 2))]))


def _in_pixels_of_file(dataset: Any) -> bool:
    """Return True if the pipeline loads the truth after resizing, as test pipelines do: boxes stay as stored."""
    steps = [type(step).__name__ for step in getattr(getattr(dataset, 'pipeline', None), 'transforms', [])]
    resizing = [index for index, name in enumerate(steps) if 'Resize' in name]
    loading = [index for index, name in enumerate(steps) if name == 'LoadAnnotations']
    return bool(resizing and loading) and loading[0] > resizing[-1]


def size_shares(boxes: np.ndarray) -> tuple[float, float, float]:
    """Return the shares of small, medium and large boxes (N, 2) by COCO's bounds of 32 and 96 pixels squared."""
    areas = boxes.prod(1)
    small, large = float((areas < SMALL).mean()), float((areas >= MEDIUM).mean())
    return small, 1 - small - large, large


@dataclass
class AnchorFacts:
    """Anchors of a model, and how well they fit boxes."""

    shapes: list[np.ndarray]  # by level: (anchors, 2) width, height
    strides: list[int]
    best: np.ndarray  # (objects,) best overlap (IoU) of shapes alone, centred on the box
    level: np.ndarray  # (objects,) level of this anchor
    bound: float | None  # overlap from which the model takes an anchor for the object


def anchor_facts(cfg: Config, boxes: np.ndarray) -> AnchorFacts | None:
    """Return how well the anchors of `cfg` fit the boxes (N, 2); None for a model without anchors."""
    from mmdet.registry import TASK_UTILS

    model = cfg.get('model') or {}
    head = next(
        (model[name] for name in ('rpn_head', 'bbox_head') if 'anchor_generator' in (model.get(name) or {})), None
    )
    if head is None:
        return None
    generator = TASK_UTILS.build(dict(head.anchor_generator))
    shapes = [(level[:, 2:] - level[:, :2]).numpy().astype(float) for level in generator.base_anchors]
    every, level = np.concatenate(shapes), np.repeat(range(len(shapes)), [len(one) for one in shapes])
    best, which = np.zeros(len(boxes)), np.zeros(len(boxes), int)
    for first in range(0, len(boxes), 4096):
        part = boxes[first : first + 4096, None]
        shared = np.minimum(part, every).prod(2)
        overlaps = shared / (part.prod(2) + every.prod(1) - shared)
        best[first : first + 4096], which[first : first + 4096] = overlaps.max(1), level[overlaps.argmax(1)]
    training = model.get('train_cfg') or {}
    assigner = (training.get('rpn') or training).get('assigner') or {}
    strides = [int(stride[0]) for stride in generator.strides]
    return AnchorFacts(shapes, strides, best, which, assigner.get('pos_iou_thr'))
