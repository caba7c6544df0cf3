"""Pictures on which an exported model and eager PyTorch are compared, and how they become a model's input."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from mmsparseswin.errors import InputError
from mmsparseswin.export.subjects import Pixels
from mmsparseswin.image_files import batches, find_images
from mmsparseswin.shapes.drawing import draw_picture

PICTURES = 4


def read_pictures(paths: list[str] | None, shape: tuple[int, int], count: int = PICTURES) -> tuple[np.ndarray, str]:
    """Return the first pictures that `paths` name, or drawn ones, resized to one shape, and what they are.

    Args:
        paths: files and folders; None draws pictures as in the embedded data set.
        shape: (height, width).
        count: their number, if there are as many.

    Returns:
        (count or fewer, height, width, 3) uint8, BGR.

    Raises:
        InputError: none of them can be read.
    """
    if paths is None:
        drawn = [draw_picture(np.random.default_rng(seed), max(*shape, 64))[0] for seed in range(count)]
        return np.stack([resize(picture[..., ::-1], shape) for picture in drawn]), 'drawn shapes'
    import mmcv

    jobs = [job for batch in batches(find_images(paths)[:count], 1) for job in batch]
    if not jobs:
        raise InputError('--images: none of the pictures could be read')
    pictures = [resize(mmcv.imread(str(job.path)), shape) for job in jobs]
    return np.stack(pictures), ', '.join(str(job.name) for job in jobs)


def resize(picture: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the picture (H, W, 3) in the size `shape`."""
    import cv2

    return cv2.resize(np.ascontiguousarray(picture), shape[::-1], interpolation=cv2.INTER_LINEAR)


class Normalize(nn.Module):
    """Pictures (B, H, W, 3) of uint8 -> float images (B, 3, H, W) as a model takes them.

    Args:
        pixels: the model's order of channels, mean and std.
        order: 'bgr' or 'rgb', of the pictures.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, pixels: Pixels, order: str) -> None:
        super().__init__()
        self.turned = order != pixels.order
        self.register_buffer('mean', torch.tensor(pixels.mean).view(3, 1, 1))
        self.register_buffer('std', torch.tensor(pixels.std).view(3, 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the images."""
        x = pictures.permute(0, 3, 1, 2).float()
        return ((x.flip(1) if self.turned else x) - self.mean) / self.std


class WithNormalize(nn.Module):
    """A model that takes pictures of uint8."""

    def __init__(self, normalize: Normalize, module: nn.Module) -> None:
        super().__init__()
        self.normalize, self.module = normalize, module

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the model."""
        return self.module(self.normalize(pictures))


def as_input(pixels: Pixels | None, order: str | None) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from pictures (B, H, W, 3) of uint8, BGR, to the input of a file.

    Args:
        pixels: how the model normalises; None: no config tells, and values from 0 to 1 take their place.
        order: of the pictures that the file takes; None: it takes normalised images (B, 3, H, W).
    """
    if order is not None:
        return lambda pictures: np.ascontiguousarray(pictures if order == 'bgr' else pictures[..., ::-1])
    normalize = Normalize(pixels or Pixels('rgb', (0.0,) * 3, (255.0,) * 3), 'bgr')
    return lambda pictures: normalize(torch.from_numpy(np.ascontiguousarray(pictures))).contiguous().numpy()
