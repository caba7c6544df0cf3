"""Exported detector that takes pictures of many sizes, by the JSON beside its file."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mmsparseswin.errors import InputError
from mmsparseswin.runtime.detections import Detected, paste_masks, suppress_as
from mmsparseswin.runtime.model import Model
from mmsparseswin.runtime.pictures import Picture, each_picture, take_steps


class Detector(Model):
    """Exported detector of :func:`mmsparseswin.runtime.load`.

    Attributes:
        info: what the JSON file says.
        task: 'detector'.
        classes: names of the classes by label.
        size: (height, width) of the image that the file takes, padding included.
    """

    def __init__(self, path: Path, engine: Any, info: dict[str, Any]) -> None:
        super().__init__(path, engine, info)
        self._names = [one['name'] for one in info['outputs']]
        self._padding, self._settings = info['padding'], info['detector']

    @property
    def takes_padding(self) -> bool:
        """True if padded pictures get what they get in the model: it sees padding, or the file leaves it out."""
        return self._padding['seen'] or self._padding['left_out']

    def predict(  # type: ignore[override]
        self, pictures: Picture | Iterable[Picture], order: str = 'bgr', batch_size: int = 8, score: float = 0.0
    ) -> list[Detected]:
        """Return the detections of all pictures in their order, of one picture a list of one.

        Args:
            pictures: a path, an array (H, W, 3) or (N, H, W, 3) of uint8, or an iterable of these.
            order: of the arrays' channels, 'bgr' as OpenCV reads or 'rgb'.
            batch_size: a detector's file takes one picture at a time, whatever it is.
            score: detections below it are dropped, before their masks are made.

        Raises:
            InputError: something that is no picture, or one that does not fit the file after resizing.
        """
        self._check(order, batch_size)
        found = []
        for name, picture in each_picture(pictures, order):
            resized = take_steps(picture, self._steps)
            found.append(self.detect(resized, picture.shape[:2], score, name))
        return found

    def detect(
        self,
        picture: np.ndarray,
        size: tuple[int, ...],
        score: float = 0.0,
        name: str = 'the picture',
        more_padding: bool = False,
    ) -> Detected:
        """Detect on a picture that the steps of the config have resized.

        Args:
            picture: (h, w, 3) uint8 in the order BGR.
            size: height and width before resizing; boxes and masks are in these pixels.
            score: least score.
            name: of the picture, for messages.
            more_padding: take a picture that the model alone would pad to a smaller size, too.

        Raises:
            InputError: the picture does not fit the file.
        """
        height, width = picture.shape[:2]
        self._check_fit((height, width), name, more_padding)
        outputs = self._engine.run(self._pad(picture), np.array([height, width], np.int64))
        found = dict(zip(self._names, outputs, strict=True))
        boxes = found['boxes'] / np.array([width / size[1], height / size[0]] * 2, np.float32)
        kept = np.flatnonzero(found['scores'] >= score)
        if self._settings['nms'] == 'outside':
            kept = suppress_as(self._settings, boxes, found['scores'], found['labels'])
            kept = kept[found['scores'][kept] >= score]
        labels = found['labels'][kept].astype(np.int64)
        names = tuple(self.classes[label] for label in labels) if self.classes else ()
        masks = None
        if 'masks' in found:
            threshold = self._settings['mask_threshold']
            masks = paste_masks(found['masks'][kept], boxes[kept], (size[0], size[1]), threshold)
        return Detected(boxes[kept], found['scores'][kept], labels, names, masks)

    def padded(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size to which the model pads a resized picture of this height and width."""
        step = self._padding['divisor']
        return -(-size[0] // step) * step, -(-size[1] // step) * step

    def _check_fit(self, size: tuple[int, int], name: str, more_padding: bool) -> None:
        """Refuse a picture that the model would pad to another size than the file's."""
        padded, takes = self.padded(size), f'the file takes {self.size[0]} x {self.size[1]}'
        holds = padded[0] <= self.size[0] and padded[1] <= self.size[1]
        if padded != self.size and not (more_padding and holds):
            padding = f', {padded[0]} x {padded[1]} with padding' if padded != size else ''
            raise InputError(
                f'{name} is {size[0]} x {size[1]} (height x width) after resizing{padding}, and {takes}: export the '
                f'model with --shape {padded[0]} {padded[1]} too'
            )
        if size != self.size and not self.takes_padding:
            raise InputError(
                f'{name} is {size[0]} x {size[1]} (height x width) after resizing, and {takes}; its model '
                'tells padding from picture, and a file does not: only pictures without padding are exact'
            )

    def _pad(self, picture: np.ndarray) -> np.ndarray:
        """Put the picture into the top left corner of the file's input; normalised padding has the config's value."""
        made = self._prepare(picture[None])
        height, width = picture.shape[:2]
        if self._inside:
            image = np.zeros((1, *self.size, 3), np.uint8)  # the file pads by itself
            image[:, :height, :width] = made
        else:
            image = np.full((1, 3, *self.size), self._padding['value'], np.float32)
            image[:, :, :height, :width] = made
        return image
