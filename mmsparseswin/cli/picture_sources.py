"""Turn whatever holds pictures (paths, folders, videos, arrays, PIL pictures, tensors) into jobs of a predictor."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mmsparseswin.errors import InputError
from mmsparseswin.image_files import Job, batches, find_images

VIDEOS = {'.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg'}


def read_jobs(images: Any) -> Iterator[Job]:
    """Yield a job per picture of `images`.

    Args:
        images: path of a picture, folder or video; a numpy array (H, W, 3) uint8 in OpenCV's order BGR, or (H, W); a
            PIL picture; a tensor (3, H, W) in the order RGB, uint8 or from 0 to 1; a batch of arrays or tensors; or any
            iterable of these.

    Raises:
        InputError: no picture there, a damaged one, or something that is none.
    """
    for number, job in enumerate(_jobs(images)):
        if job.path == Path():
            yield Job(Path(f'picture {number}'), Path(f'{number:06d}.png'), pixels=job.pixels)
        elif job.pixels is not None:
            yield job
        elif readable := next(batches([job], 1), None):
            yield readable[0]
        else:
            raise InputError(f'{job.path} cannot be predicted: the line above says why')


def _jobs(images: Any) -> Iterator[Job]:
    if isinstance(images, (str, Path)):
        path = Path(images).expanduser()
        if path.suffix.lower() in VIDEOS:
            yield from _frames(path)
        else:
            yield from find_images([str(path)])
    elif hasattr(images, 'detach') or isinstance(images, np.ndarray) or hasattr(images, 'getexif'):
        for pixels in _arrays(images):
            yield Job(Path(), Path(), pixels=pixels)
    elif isinstance(images, Iterable):
        for one in images:
            yield from _jobs(one)
    else:
        raise InputError(
            f'a {type(images).__name__} is no picture; give paths, arrays, PIL pictures, tensors or a list'
        )


def _frames(path: Path) -> Iterator[Job]:
    """Yield the frames of a video one by one, named by their numbers."""
    import cv2

    if not path.is_file():
        raise InputError(f'no video at {path}')
    video = cv2.VideoCapture(str(path))
    try:
        number = 0
        while True:
            read, frame = video.read()
            if not read:
                break
            yield Job(path, Path(f'{path.stem}_{number:06d}.jpg'), pixels=frame)
            number += 1
    finally:
        video.release()
    if not number:
        raise InputError(f'{path} holds no frame that OpenCV can read')


def _arrays(images: Any) -> Iterator[np.ndarray]:
    """Yield (H, W, 3) uint8 arrays in the order BGR of one picture or a batch."""
    if hasattr(images, 'getexif'):  # PIL
        from PIL import ImageOps

        yield np.asarray(ImageOps.exif_transpose(images).convert('RGB'))[..., ::-1]
        return
    is_tensor = hasattr(images, 'detach')
    array = images.detach().cpu().numpy() if is_tensor else images
    if is_tensor:
        if array.ndim not in (3, 4) or array.shape[-3] != 3:
            raise InputError(f'a tensor of shape {tuple(array.shape)} is no (3, H, W) or (N, 3, H, W) in the order RGB')
        array = np.moveaxis(array, -3, -1)[..., ::-1]
        if array.dtype.kind == 'f' and array.size and array.min() >= 0 and array.max() <= 1:
            array = (array * 255).round().astype(np.uint8)
    elif array.ndim == 2:
        array = np.repeat(array[..., None], 3, -1)
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or array.shape[-1] != 3 or 0 in array.shape:
        raise InputError(
            f'an array of shape {tuple(array.shape)} and type {array.dtype} is no picture: arrays are (H, W, 3) uint8 '
            'in the order BGR, tensors (3, H, W) RGB, uint8 or from 0 to 1'
        )
    yield from (np.ascontiguousarray(one) for one in (array if array.ndim == 4 else array[None]))
