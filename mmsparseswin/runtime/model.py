"""Exported classifier or backbone that takes pictures, by the JSON beside its file."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmsparseswin.errors import InputError
from mmsparseswin.runtime.pictures import Picture, check_steps, each_picture, resize


class Classified(NamedTuple):
    """Class of a picture: its label, name and score, and the scores of all classes, (classes,) float32."""

    label: int
    name: str
    score: float
    scores: np.ndarray


class Model:
    """Exported classifier or backbone of :func:`mmsparseswin.runtime.load`.

    Attributes:
        info: what the JSON file says.
        task: 'classifier' or 'backbone'.
        classes: names of the classes by label; of a backbone None.
        size: (height, width) of the images that the file takes.
    """

    def __init__(self, path: Path, engine: Any, info: dict[str, Any]) -> None:
        self.info, self.task, self._engine = info, info['task'], engine
        image = info['input']
        self.classes = info['classes'] and tuple(info['classes'])
        self._inside = image['normalised'] == 'inside'
        height, width = image['shape'][1:3] if image['layout'] == 'NHWC' else image['shape'][2:]
        self.size = (height, width)
        if engine.inputs[0].shape is None or tuple(engine.inputs[0].shape[1:]) != tuple(image['shape'][1:]):
            raise InputError(f'{path} takes {engine.inputs[0].shape}, and its JSON file says {image["shape"]}')
        if not self._inside and image['mean'] is None:
            raise InputError(
                f'{path}: a backbone that was exported by its name has no mean and std to make its input of pictures; '
                'export it from a config, or run it by mmsparseswin.runtime.engines.open_engine'
            )
        self._steps = image['resizing'] or []
        check_steps(self._steps, str(path))

    def __repr__(self) -> str:
        return f'<{self.task} {self.info["model"]}, {self.size[0]} x {self.size[1]}, {self.info["format"]}>'

    def predict(
        self, pictures: Picture | Iterable[Picture], order: str = 'bgr', batch_size: int = 8
    ) -> list[Classified] | list[dict[str, np.ndarray]]:
        """Return the results of all pictures in their order, of one picture a list of one.

        Args:
            pictures: a path, an array (H, W, 3) or (N, H, W, 3) of uint8, or an iterable of these.
            order: of the arrays' channels, 'bgr' as OpenCV reads or 'rgb'.
            batch_size: pictures of one run, if the file takes several.

        Returns:
            Of a classifier :class:`Classified`, of a backbone the map (C, h, w) of each stage by its name.

        Raises:
            InputError: something that is no picture, or one that the config's steps bring to another size than the
                file's.
        """
        self._check(order, batch_size)
        size = batch_size if self.info['input']['shape'][0] == 'batch' else 1
        images = (resize(one, self._steps, self.size, name) for name, one in each_picture(pictures, order))
        results: list[Any] = []
        while batch := list(islice(images, size)):
            results += self.run(np.stack(batch))
        return results

    def run(self, batch: np.ndarray) -> list[Any]:
        """Return the results of pictures (B, H, W, 3) of uint8, BGR, that the config's steps have resized."""
        outputs = self._engine.run(self._prepare(batch))
        return [self._result(one) for one in zip(*outputs, strict=True)]

    @staticmethod
    def _check(order: str, batch_size: int) -> None:
        if order not in ('bgr', 'rgb'):
            raise InputError(f'order {order!r}: bgr or rgb')
        if batch_size < 1:
            raise InputError(f'batch_size {batch_size}: must be at least 1')

    def _prepare(self, batch: np.ndarray) -> np.ndarray:
        """Turn pictures (B, H, W, 3) in the order BGR into the file's input."""
        image = self.info['input']
        if image['channels'] == 'rgb':
            batch = batch[..., ::-1]
        if not self._inside:
            mean, std = np.float32(image['mean']), np.float32(image['std'])
            batch = ((batch.astype(np.float32) - mean) / std).transpose(0, 3, 1, 2)
        return np.ascontiguousarray(batch)

    def _result(self, outputs: tuple[np.ndarray, ...]) -> Classified | dict[str, np.ndarray]:
        if self.classes is None:
            return {one['name']: output for one, output in zip(self.info['outputs'], outputs, strict=True)}
        label = int(outputs[0].argmax())
        return Classified(label, self.classes[label], float(outputs[0][label]), outputs[0])
