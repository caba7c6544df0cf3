"""Provide transforms of docs/models/ssd.md, 'Augmentation' (published with albumentations) that mmcv and mmdet lack.

Probabilities are the config's business: mmcv's RandomChoice and RandomApply. Images are uint8.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.structures.bbox import autocast_box_type

from mmsparseswin.registry import TRANSFORMS

_LEVELS = np.arange(256, dtype=np.float32)


@TRANSFORMS.register_module()
class RandomBrightnessContrast(BaseTransform):
    """Multiply all values by 1 +- `contrast`, then add up to +- `brightness` of the full range."""

    def __init__(self, brightness: float = 0.2, contrast: float = 0.2) -> None:
        self.brightness = brightness
        self.contrast = contrast

    @cache_randomness
    def _draw(self) -> np.ndarray:
        return np.random.uniform(-1, 1, 2)

    def transform(self, results: dict) -> dict:
        """Change ``results['img']``."""
        contrast, brightness = self._draw() * (self.contrast, self.brightness)
        table = _LEVELS * (1 + contrast) + 255 * brightness
        results['img'] = cv2.LUT(results['img'], table.clip(0, 255).astype(np.uint8))
        return results


@TRANSFORMS.register_module()
class RandomColorShift(BaseTransform):
    """Add one random number to each channel.

    Args:
        limits: the largest shift of each channel, in levels of 255 (hue: in OpenCV's 180).
        space: 'bgr', or 'hsv' for a round trip through hue (which goes round), saturation and value.
    """

    def __init__(self, limits: Sequence[float], space: str = 'bgr') -> None:
        self.limits = np.asarray(limits, np.float32)
        self.space = space

    @cache_randomness
    def _draw(self) -> np.ndarray:
        return np.random.uniform(-1, 1, len(self.limits))

    def transform(self, results: dict) -> dict:
        """Change ``results['img']``."""
        tables = _LEVELS[:, None] + self._draw() * self.limits  # (256, 3)
        if self.space == 'hsv':
            tables[:, 0] %= 180
        table = tables.clip(0, 255).astype(np.uint8)[None]
        if self.space == 'hsv':
            hsv = cv2.LUT(cv2.cvtColor(results['img'], cv2.COLOR_BGR2HSV), table)
            results['img'] = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
        else:
            results['img'] = cv2.LUT(results['img'], table)
        return results


@TRANSFORMS.register_module()
class PadToAtLeast(BaseTransform):
    """Put the image in the middle of a canvas of at least `size`; a longer side stays.

    Args:
        size: width and height in pixels.
        fill: colour of the canvas, BGR as the image.
    """

    def __init__(self, size: tuple[int, int], fill: tuple[int, int, int] = (0, 0, 0)) -> None:
        self.size = size
        self.fill = fill

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Pad ``results['img']`` and move its boxes."""
        height, width = results['img'].shape[:2]
        spare_x, spare_y = max(self.size[0] - width, 0), max(self.size[1] - height, 0)
        left, top = spare_x // 2, spare_y // 2
        image = cv2.copyMakeBorder(
            results['img'], top, spare_y - top, left, spare_x - left, cv2.BORDER_CONSTANT, value=self.fill
        )
        results['img'], results['img_shape'] = image, image.shape[:2]
        if 'gt_bboxes' in results:
            results['gt_bboxes'].translate_([left, top])
        return results


@TRANSFORMS.register_module()
class BoxSafeRandomCrop(BaseTransform):
    """Cut off a random part of each margin that no box reaches into; without boxes the image stays whole."""

    @cache_randomness
    def _draw(self) -> np.ndarray:
        return np.random.uniform(0, 1, 4)

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Crop ``results['img']`` and move its boxes."""
        boxes = results['gt_bboxes']
        if len(boxes) == 0:
            return results
        height, width = results['img'].shape[:2]
        limits = np.array((width, height), np.float32)
        low = np.clip(boxes.tensor[:, :2].min(0).values.numpy(), 0, limits - 1)
        high = np.clip(boxes.tensor[:, 2:].max(0).values.numpy(), low + 1, limits)
        shares = self._draw()
        left, top = np.floor(low * shares[:2]).astype(int)
        right, bottom = np.ceil(high + (limits - high) * shares[2:]).astype(int)
        results['img'] = np.ascontiguousarray(results['img'][top:bottom, left:right])
        results['img_shape'] = results['img'].shape[:2]
        boxes.translate_([-int(left), -int(top)])
        boxes.clip_(results['img_shape'])
        return results
