"""Scores and error kinds of detections, by hotcoco."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mmsparseswin.errors import InputError

IOU = 0.5  # boxes that overlap less are not the same object


def load_hotcoco() -> Any:
    """Return the module.

    Raises:
        InputError: it is not installed.
    """
    try:
        import hotcoco
    except ImportError:
        raise InputError(
            "the report needs hotcoco: pip install 'mmsparseswin[reports]', or pip install hotcoco"
        ) from None
    return hotcoco


@dataclass
class DetectorScores:
    """Truth and predictions of one COCO set, boxes.

    Args:
        truth: the annotation file's content, with the categories of `names` only, ids 1 to N.
        predictions: COCO records with image_id, category_id, bbox [x, y, w, h], score.
        names: of the classes, by label; category_id - 1 is the label.
        threshold: predictions from this score on are shown to people; they count in :attr:`confident`.
    """

    truth: dict[str, Any]
    predictions: list[dict[str, Any]]
    names: tuple[str, ...]
    threshold: float

    @cached_property
    def full(self) -> Any:
        """Evaluation of all predictions."""
        return self._evaluate(self.predictions)

    @cached_property
    def shown(self) -> list[dict[str, Any]]:
        """Predictions from the threshold on; prediction number i has the id i + 1 in :attr:`confident`."""
        return [one for one in self.predictions if one['score'] >= self.threshold]

    @cached_property
    def confident(self) -> Any:
        """Evaluation of the predictions from the threshold on."""
        return self._evaluate(self.shown)

    @cached_property
    def diagnostics(self) -> dict[str, Any]:
        """Status of each confident prediction and each object, summaries of pictures, doubtful labels."""
        return self.confident.image_diagnostics(iou_thr=IOU, score_thr=max(self.threshold, 0.5))

    def _evaluate(self, predictions: list[dict[str, Any]]) -> Any:
        hotcoco = load_hotcoco()
        truth = hotcoco.COCO(self.truth)
        evaluation = hotcoco.COCOeval(truth, truth.loadRes(predictions), 'bbox')
        evaluation.evaluate()
        evaluation.accumulate()
        return evaluation

    @cached_property
    def _precision(self) -> np.ndarray:
        """Precision by IoU, recall, class and size, -1 where a class has no object."""
        return np.asarray(self.full.eval['precision'])[..., -1]

    def average_precision(self) -> dict[str, float]:
        """Return COCO's APs; NaN where there is no object of a size."""
        parts = {
            'AP': self._precision[..., 0],
            'AP50': self._precision[0, ..., 0],
            'AP75': self._precision[5, ..., 0],
            'AP small': self._precision[..., 1],
            'AP medium': self._precision[..., 2],
            'AP large': self._precision[..., 3],
        }
        return {name: _mean(part) for name, part in parts.items()}

    def per_class(self) -> list[tuple[str, float, float, int, int, int, int]]:
        """Return (name, AP, AP50, objects, found, missed, false) of each class; the last three of confident ones."""
        status_of_object = self.diagnostics['gt_status']
        status = self.diagnostics['dt_status']
        objects, found = np.zeros(len(self.names), int), np.zeros(len(self.names), int)
        for annotation in self.truth['annotations']:
            if not annotation.get('iscrowd') and not annotation.get('ignore'):
                objects[annotation['category_id'] - 1] += 1
                found[annotation['category_id'] - 1] += status_of_object.get(annotation['id']) == 'matched'
        false = np.zeros(len(self.names), int)
        for number, one in enumerate(self.shown, 1):
            false[one['category_id'] - 1] += status.get(number) == 'fp'
        return [
            (
                *(name, _mean(self._precision[:, :, label, 0]), _mean(self._precision[0, :, label, 0])),
                *(int(objects[label]), int(found[label]), int(objects[label] - found[label]), int(false[label])),
            )
            for label, name in enumerate(self.names)
        ]

    def confusion(self) -> np.ndarray:
        """Return counts (classes + 1, classes + 1), rows truth; the last row and column are the background."""
        return np.asarray(self.confident.confusion_matrix(iou_thr=IOU)['matrix']).astype(int)

    def worst(self, number: int) -> list[tuple[int, dict[str, Any]]]:
        """Return (image id, summary) of the pictures with the most mistakes, the worst first."""
        summaries = self.diagnostics['img_summary'].items()
        wrong = [(image, one) for image, one in summaries if one['fp'] + one['fn']]
        return sorted(wrong, key=lambda pair: (-(pair[1]['fp'] + pair[1]['fn']), pair[0]))[:number]


def read_truth(path: str, names: Sequence[str]) -> dict[str, Any]:
    """Read an annotation file for :class:`DetectorScores`.

    Returns:
        Its images, its categories named in `names` with ids from 1 in their order, and the annotations of these, which
        keep ``original_category_id``; ids of annotations are numbered from 1.
    """
    content = json.loads(Path(path).read_bytes().decode('utf-8-sig'))
    label = {name: index + 1 for index, name in enumerate(names)}
    ids = {one['id']: label[one['name']] for one in content['categories'] if one['name'] in label}
    annotations = [
        dict(one, category_id=ids[one['category_id']])
        for one in content.get('annotations', [])
        if one['category_id'] in ids
    ]
    for number, one in enumerate(annotations, 1):
        one['id'] = number
        one.setdefault('iscrowd', 0)
    return dict(
        images=content['images'],
        annotations=annotations,
        categories=[dict(id=index + 1, name=name) for index, name in enumerate(names)],
        category_ids=ids,
    )


def read_predictions(path: str, truth: dict[str, Any]) -> list[dict[str, Any]]:
    """Read predictions in COCO's layout for `truth` of :func:`read_truth`; other classes are left out.

    Raises:
        InputError: not such a file, or predictions of other pictures.
    """
    try:
        records = json.loads(Path(path).read_bytes())
        records = records['annotations'] if isinstance(records, dict) else records
        images = {one.get('original_id', one['id']): one['id'] for one in truth['images']}
        categories = truth['category_ids']
        found = []
        for one in records:
            if one['image_id'] not in images:
                raise InputError(f'{path} has predictions of image {one["image_id"]}, which is not in the test data')
            if one['category_id'] in categories:
                record = dict(image_id=images[one['image_id']], category_id=categories[one['category_id']])
                record |= dict(bbox=[float(value) for value in one['bbox']], score=float(one['score']))
                found.append(record | {key: one[key] for key in ('segmentation',) if key in one})
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f'{path} holds no predictions in COCO layout (image_id, category_id, bbox, score)') from None
    return found


def _mean(values: np.ndarray) -> float:
    known = values[values > -1]
    return float(known.mean()) if known.size else float('nan')
