"""Folder of files of one detector for several sizes: each picture goes to the one it fits best."""

from pathlib import Path

import numpy as np

from mmsparseswin.errors import InputError, few
from mmsparseswin.runtime.detections import Detected
from mmsparseswin.runtime.detector import Detector

_SHARED = ('format', 'task', 'model', 'weights', 'classes', 'padding', 'detector')


class SizedDetector(Detector):
    """Detector of several files, one for each size of its input, see :func:`mmsparseswin.runtime.load`.

    Attributes:
        files: the detectors, the smallest input first.

    Raises:
        InputError: files of other exports among them, or none.
    """

    def __init__(self, folder: Path, files: list[Detector]) -> None:
        if not files or any(not isinstance(one, Detector) for one in files):
            raise InputError(f'{folder}: a folder must hold exported detectors of several sizes; name a single file')
        self.files = sorted(files, key=lambda one: one.size[0] * one.size[1])
        first = self.files[0]
        for one in self.files[1:]:
            wrong = [key for key in _SHARED if one.info[key] != first.info[key]]
            wrong += [
                key for key in ('type', 'channels', 'mean', 'std', 'resizing') if _input(one)[key] != _input(first)[key]
            ]
            if wrong:
                raise InputError(f'{folder} holds files of several exports, which differ in {wrong[0]}: keep one')
        self.info, self.task, self.classes, self.size = first.info, first.task, first.classes, self.files[-1].size
        self._steps, self._padding = first._steps, first._padding

    def __repr__(self) -> str:
        return f'<{self.task} {self.info["model"]}, {self._sizes()}, {self.info["format"]}>'

    def detect(
        self,
        picture: np.ndarray,
        size: tuple[int, ...],
        score: float = 0.0,
        name: str = 'the picture',
        more_padding: bool = True,
    ) -> Detected:
        """Detect by the file whose size the picture has with padding, else by the smallest that holds it.

        The second is as in a padded batch of mmdet, and not for models that need the file to leave padding out.

        Raises:
            InputError: the picture fits no file; otherwise as :meth:`Detector.detect`.
        """
        shape = (picture.shape[0], picture.shape[1])
        padded = self.padded(shape)
        for one in self.files:
            if one.size == padded:
                return one.detect(picture, size, score, name)
        if self.takes_padding and more_padding:
            for one in self.files:
                if one.size[0] >= padded[0] and one.size[1] >= padded[1]:
                    return one.detect(picture, size, score, name, more_padding=True)
        raise InputError(
            f'{name} is {padded[0]} x {padded[1]} (height x width) after resizing and padding, and the files take '
            f'{self._sizes()}: export the model with --shape {padded[0]} {padded[1]} too'
        )

    def _sizes(self) -> str:
        return few([f'{one.size[0]} x {one.size[1]}' for one in self.files])


def _input(model: Detector) -> dict:
    return model.info['input']
