"""Exported classifiers and detectors in place of a checkpoint of ``mmsparseswin predict`` and ``test``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from mmsparseswin import runtime
from mmsparseswin.cli.predictors import Classifier, Detector
from mmsparseswin.cli.resizing_steps import plain_test_cfg, resizing_steps
from mmsparseswin.errors import InputError, few
from mmsparseswin.image_files import can_be_drawn
from mmsparseswin.runtime import Model, load
from mmsparseswin.runtime.loading import SUFFIXES, files_of
from mmsparseswin.runtime.pictures import each_picture

if TYPE_CHECKING:
    from mmsparseswin.image_files import Job


def is_exported(path: str) -> bool:
    """Return True for a file of ``mmsparseswin export`` that :mod:`mmsparseswin.runtime` runs, or a folder of such."""
    found = Path(path)
    return bool(files_of(found)) if found.is_dir() else found.suffix in SUFFIXES


def check_exported(model: Model, cfg: Config, path: str) -> None:
    """Refuse a config by which the file was not exported: it would prepare pictures, or choose objects, otherwise.

    Raises:
        InputError: a backbone, another kind of model, or another pipeline, mean, std or ``test_cfg``.
    """
    kind = 'detector' if cfg.get('default_scope') == 'mmdet' else 'classifier'
    if model.task != kind:
        raise InputError(f'{path} is an exported {model.task}, and the config is of a {kind}')
    image = model.info['input']
    if image['resizing'] is None or resizing_steps(cfg) != image['resizing']:
        raise InputError(
            f'{path} was exported from a config whose test pipeline differs: give that config, or export it again'
        )
    before = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    for key, value in (('mean', 0.0), ('std', 1.0)):
        if not np.allclose(before.get(key) or value, image[key], rtol=1e-5):
            raise InputError(f'{path} was exported with the {key} {image[key]}, and the config has {before.get(key)}')
    if kind == 'detector' and model.info['detector']['test_cfg'] != plain_test_cfg(cfg):
        raise InputError(
            f'{path} was exported with another model.test_cfg than the config has: its thresholds are in the file, '
            'export it again'
        )


def set_exported(cfg: Config, path: str) -> None:
    """Put a file of ``mmsparseswin export`` in the place of the config's model, for mmengine's test loop.

    Raises:
        InputError: as :func:`check_exported`.
    """
    check_exported(load(path), cfg, path)
    reads_files = any('LoadImage' in str(one.get('type')) for one in cfg.test_dataloader.dataset.pipeline)
    cfg.model = ConfigDict(type='mmsparseswin.ExportedModel', path=path, order='bgr' if reads_files else 'rgb')
    cfg.pop('data_preprocessor', None)


def check_classes(runner: Runner, path: str) -> None:
    """Refuse to evaluate a file on a data set of other classes.

    Raises:
        InputError: other classes, or in another order.
    """
    model: Any = runner.model
    dataset: Any = runner.test_loop.dataloader.dataset
    learnt, wanted = model.file.classes, tuple(dataset.metainfo.get('classes') or ())
    if wanted and learnt != wanted and learnt != tuple(map(str, range(len(wanted)))):
        raise InputError(f'{path} knows the classes {few(learnt)}, and the data set of the config has {few(wanted)}')


def exported_predictor(cfg: Config, path: str, threshold: float) -> 'ExportedClassifier | ExportedDetector':
    """Return what predicts by a file of ``mmsparseswin export`` in place of a checkpoint.

    Args:
        cfg: the config that the file was exported from.
        path: the file.
        threshold: detections below this score are dropped.

    Raises:
        InputError: a file that was exported from a config that prepares pictures otherwise.
    """
    model = load(path)
    check_exported(model, cfg, path)
    return ExportedDetector(model, threshold) if isinstance(model, runtime.Detector) else ExportedClassifier(model)


class ExportedDetector(Detector):
    """A detector that onnxruntime or OpenVINO runs, with the records and pictures of mmdet's.

    Args:
        model: the file.
        threshold: detections below this score are dropped.
    """

    def __init__(self, model: runtime.Detector, threshold: float) -> None:
        from mmdet.visualization import DetLocalVisualizer

        self.model, self.threshold = model, threshold
        self.visualizer = DetLocalVisualizer()
        self.name_classes(model.classes or ())

    def name_classes(self, names: tuple[str, ...]) -> None:
        """Call the classes by `names`, in the JSON file and on pictures."""
        self.classes = names
        self.visualizer.dataset_meta = dict(classes=names, palette='random')

    def predict(self, batch: 'list[Job]', pictures: Path | None) -> list[dict]:
        """Return one record per picture of `batch`; draw them into the folder `pictures`."""
        import mmcv
        from pycocotools import mask as run_lengths

        pictures = pictures if pictures and can_be_drawn(batch) else None
        records = []
        for job in batch:
            ((_, picture),) = each_picture(job.path if job.pixels is None else job.pixels, 'bgr')
            (found,) = self.model.predict(picture, score=self.threshold)
            rows = dict(labels=found.labels.tolist(), scores=found.scores.tolist(), bboxes=found.boxes.tolist())
            if found.masks is not None:
                rows['masks'] = [run_lengths.encode(np.asfortranarray(one.view(np.uint8))) for one in found.masks]
                for one in rows['masks']:
                    one['counts'] = one['counts'].decode()
            height, width = picture.shape[:2]
            record = dict(file_name=str(job.name), width=width, height=height, objects=self._objects(rows))
            if pictures:
                drawn = self.draw(np.ascontiguousarray(picture[..., ::-1]), record)
                mmcv.imwrite(drawn[..., ::-1], str(pictures / job.picture))
            records.append(record)
        return records


class ExportedClassifier(Classifier):
    """A classifier that onnxruntime or OpenVINO runs, with the records and pictures of mmpretrain's."""

    def __init__(self, model: Model) -> None:
        from mmpretrain.visualization import UniversalVisualizer

        self.model, self.visualizer = model, UniversalVisualizer()
        self.name_classes(model.classes or ())

    def name_classes(self, names: tuple[str, ...]) -> None:
        """Call the classes by `names`, in the JSON file and on pictures."""
        self.classes = names

    def predict(self, batch: 'list[Job]', pictures: Path | None) -> list[dict]:
        """Return one record per picture of `batch`; draw them into the folder `pictures`."""
        pictures = pictures if pictures and can_be_drawn(batch) else None
        found: list[Any] = self.model.predict([job.path if job.pixels is None else job.pixels for job in batch])
        if pictures:
            self._draw(batch, [self._sample(one.label, one.score) for one in found], pictures)
        return [
            {'file_name': str(job.name), 'class': one.name, 'label': one.label, 'score': one.score}
            for job, one in zip(batch, found, strict=True)
        ]
