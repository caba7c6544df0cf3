"""Results of predictions, and their conversions."""

from importlib import import_module
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from pycocotools import mask as run_lengths

from mmsparseswin.errors import InputError
from mmsparseswin.image_files import Job
from mmsparseswin.log_filters import quiet_console


class Result:
    """Prediction of one picture.

    Attributes:
        path, name: of its file or video, or ``picture N`` of one in memory; and the file name for drawing it.
        record: what the JSON of ``mmsparseswin predict`` holds of it.
        labels, scores, classes: (N,) of the objects, of a classifier one; and the names by label.
        boxes: (N, 4) corners x1, y1, x2, y2 in pixels of the picture; of a classifier None.
    """

    def __init__(self, job: Job, record: dict[str, Any], predictor: Any) -> None:
        self.path, self.name, self.record, self._job, self._predictor = job.path, job.name, record, job, predictor
        self.classes = tuple(predictor.classes)
        objects = record.get('objects')
        found = [record] if objects is None else objects
        self.labels = np.array([one['label'] if objects is None else one['category_id'] - 1 for one in found], int)
        self.scores = np.array([one['score'] for one in found], np.float32)
        self.boxes = None if objects is None else np.array([one['bbox'] for one in objects], np.float32).reshape(-1, 4)
        if self.boxes is not None:
            self.boxes[:, 2:] += self.boxes[:, :2]

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        names = [f'{self.classes[label]} {score:.2f}' for label, score in zip(self.labels, self.scores, strict=True)]
        return f'<{self.name}: {", ".join(names[:4])}{", ..." if len(names) > 4 else ""}>'

    @property
    def masks(self) -> np.ndarray | None:
        """Masks of the objects, (N, H, W) bool; None without masks or objects."""
        codes = [one['segmentation'] for one in self.record.get('objects', ()) if 'segmentation' in one]
        if not codes:
            return None
        return np.stack([run_lengths.decode(code) for code in codes]).astype(bool)

    @property
    def picture(self) -> np.ndarray:
        """The picture without its predictions, (H, W, 3) uint8 RGB; a file is read again."""
        pixels = mmcv.imread(str(self.path)) if self._job.pixels is None else self._job.pixels
        return np.ascontiguousarray(pixels[..., ::-1])

    def without_picture(self) -> 'Result':
        """Return the result without the pixels that it holds of a frame or an array; it can no longer be drawn."""
        return Result(self._job._replace(pixels=None), self.record, self._predictor)

    def above(self, score: float) -> 'Result':
        """Return the result without the detections below `score`; a classifier's class stays."""
        if self.boxes is None:
            return self
        objects = [one for one in self.record['objects'] if one['score'] >= score]
        return Result(self._job, {**self.record, 'objects': objects}, self._predictor)

    def draw(self, path: str | Path | None = None) -> np.ndarray:
        """Return the picture with its predictions drawn on, (H, W, 3) uint8 RGB; write it to `path`, too."""
        with quiet_console():
            drawn = self._predictor.draw(self.picture, self.record)
        if path is not None:
            mmcv.imwrite(drawn[..., ::-1], str(path))
        return drawn

    def to_supervision(self) -> Any:
        """Return ``supervision.Detections``, or ``supervision.Classifications`` of a classifier."""
        supervision = _import('supervision')
        if self.boxes is None:
            return supervision.Classifications(class_id=self.labels, confidence=self.scores)
        names = np.array([self.classes[label] for label in self.labels], dtype=str)
        found = dict(confidence=self.scores, class_id=self.labels, data=dict(class_name=names))
        return supervision.Detections(xyxy=self.boxes, mask=self.masks, **found)

    def to_pandas(self) -> Any:
        """Return a ``pandas.DataFrame`` with a row per object: image, class, label, score, and x1, y1, x2, y2."""
        return Results([self]).to_pandas()


class Results(list[Result]):
    """Results of a call, in the order of the pictures."""

    def to_pandas(self) -> Any:
        """Return a ``pandas.DataFrame`` with a row per object of all pictures."""
        columns: dict[str, list] = {name: [] for name in ('image', 'class', 'label', 'score')}
        boxes = [one.boxes for one in self if one.boxes is not None]
        for one in self:
            columns['image'] += [str(one.name)] * len(one)
            columns['class'] += [one.classes[label] for label in one.labels]
            columns['label'] += one.labels.tolist()
            columns['score'] += one.scores.tolist()
        if boxes or not self:
            corners = np.concatenate(boxes) if boxes else np.zeros((0, 4))
            columns.update({name: corners[:, i].tolist() for i, name in enumerate(('x1', 'y1', 'x2', 'y2'))})
        return _import('pandas').DataFrame(columns)

    def to_coco(self) -> Any:
        """Return what ``predictions.json`` of ``mmsparseswin predict`` holds: COCO's layout, of a classifier a list."""
        return self[0]._predictor.collect(one.record for one in self) if self else []

    def draw(self, folder: str | Path) -> list[Path]:
        """Draw each picture into `folder` under its name, and return the paths."""
        paths = [Path(folder) / one.name for one in self]
        for one, path in zip(self, paths, strict=True):
            one.draw(path)
        return paths


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise InputError(f'this conversion needs the package {name}: pip install {name}') from None
