"""Exported classifiers in place of a checkpoint of ``mmsparseswin predict``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mmengine.config import Config

from mmsparseswin.cli.predictors import Classifier
from mmsparseswin.cli.resizing_steps import resizing_steps
from mmsparseswin.errors import InputError
from mmsparseswin.image_files import can_be_drawn
from mmsparseswin.runtime import load

if TYPE_CHECKING:
    from mmsparseswin.image_files import Job

SUFFIXES = ('.onnx', '.xml')


def is_exported(path: str) -> bool:
    """Return True for the name of a file of ``mmsparseswin export`` that :mod:`mmsparseswin.runtime` runs."""
    return Path(path).suffix in SUFFIXES


class ExportedClassifier(Classifier):
    """A classifier that onnxruntime or OpenVINO runs, with the records and pictures of mmpretrain's.

    Args:
        cfg: the config that the file was exported from.
        path: the file.

    Raises:
        InputError: a file that is no classifier, or was exported from a config that prepares pictures otherwise.
    """

    def __init__(self, cfg: Config, path: str) -> None:
        from mmpretrain.visualization import UniversalVisualizer

        self.model, self.visualizer = load(path), UniversalVisualizer()
        if self.model.task != 'classifier':
            raise InputError(f'{path} is an exported {self.model.task}: predict takes exported classifiers')
        image = self.model.info['input']
        if image['resizing'] is None or resizing_steps(cfg) != image['resizing']:
            raise InputError(
                f'{path} was exported from a config whose test pipeline differs: give that config, or export it again'
            )
        before = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
        for key, value in (('mean', 0.0), ('std', 1.0)):
            if not np.allclose(before.get(key) or value, image[key], rtol=1e-5):
                raise InputError(
                    f'{path} was exported with the {key} {image[key]}, and the config has {before.get(key)}'
                )
        self.name_classes(self.model.classes or ())

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
