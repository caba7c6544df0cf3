"""Read pictures, and resize them as the test pipeline of the exported model's config does."""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from mmsparseswin.errors import InputError
from mmsparseswin.image_headers import DEEP, find_damage, read_header

_CV2 = {
    'nearest': cv2.INTER_NEAREST,
    'bilinear': cv2.INTER_LINEAR,
    'bicubic': cv2.INTER_CUBIC,
    'area': cv2.INTER_AREA,
    'lanczos': cv2.INTER_LANCZOS4,
}
_PILLOW = {
    'nearest': Image.Resampling.NEAREST,
    'bilinear': Image.Resampling.BILINEAR,
    'bicubic': Image.Resampling.BICUBIC,
    'box': Image.Resampling.BOX,
    'lanczos': Image.Resampling.LANCZOS,
    'hamming': Image.Resampling.HAMMING,
}
_WAYS: dict[str, dict[str, Any]] = {'cv2': _CV2, 'pillow': _PILLOW}

Picture = str | os.PathLike | np.ndarray


def each_picture(pictures: Picture | Iterable[Picture], order: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and pixels of each picture, (H, W, 3) uint8 in the order BGR.

    Args:
        pictures: a path, an array (H, W, 3) or (N, H, W, 3) of uint8, or an iterable of these.
        order: 'bgr' or 'rgb', of the arrays.

    Raises:
        InputError: a damaged file, or something that is no picture.
    """
    for number, one in enumerate(_flatten(pictures)):
        if not isinstance(one, np.ndarray):
            yield str(one), _read(Path(one))
        elif one.dtype != np.uint8 or one.ndim != 3 or one.shape[2] != 3 or not one.size:
            raise InputError(
                f'picture {number} has the shape {one.shape} and the type {one.dtype}; give arrays (H, W, 3) of uint8'
            )
        else:
            yield f'picture {number}', one if order == 'bgr' else one[..., ::-1]


def _flatten(pictures: Any) -> Iterator[Any]:
    if isinstance(pictures, (str, os.PathLike)) or (isinstance(pictures, np.ndarray) and pictures.ndim != 4):
        yield pictures
    elif isinstance(pictures, Iterable):
        for one in pictures:
            yield from _flatten(one)
    else:
        raise InputError(f'a {type(pictures).__name__} is no picture; give paths, arrays, or a list of these')


def _read(path: Path) -> np.ndarray:
    """Read a file as OpenCV does, in 8 bits and turned as its EXIF data say."""
    if not path.is_file():
        raise InputError(f'no picture at {path}')
    header = read_header(path)
    if refusal := header and header.refusal():
        raise InputError(f'{path}: {refusal}')
    if header and header.deep:
        warnings.warn(f'{path} {DEEP}', stacklevel=2)
    data = path.read_bytes()
    damage = find_damage(data)
    picture = None if damage else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(f'{path} cannot be read: {damage or find_damage(data, decode=True) or "no known picture"}')
    return picture


def check_steps(steps: list[dict[str, Any]], where: str) -> None:
    """Refuse steps that :func:`resize` does not know exactly.

    Raises:
        InputError: such a step.
    """
    for step in steps:
        keys = _KEYS.get(step['type'])
        known = keys is not None and set(step) == {'type', *keys}
        if not known or ('backend' in step and step['interpolation'] not in _WAYS.get(step['backend'], ())):
            raise InputError(
                f"{where}: its config's test pipeline has {step['type']}, which runtime.load cannot repeat exactly; "
                'run the file by mmsparseswin.runtime.engines.open_engine, on images of your own preparation'
            )


def resize(picture: np.ndarray, steps: list[dict[str, Any]], size: tuple[int, int], name: str) -> np.ndarray:
    """Return the picture as the steps make it, (H, W, 3).

    Args:
        picture: (H, W, 3) uint8.
        steps: those of :func:`check_steps`, first to last.
        size: (H, W) of the file.
        name: of the picture, for messages.

    Raises:
        InputError: another size comes out.
    """
    before = picture.shape[:2]
    picture = take_steps(picture, steps)
    if picture.shape[:2] != size:
        done = f'a picture of {before[0]} x {before[1]} (height x width)'
        if steps:
            done += f', {picture.shape[0]} x {picture.shape[1]} after {", ".join(step["type"] for step in steps)}'
            raise InputError(f'{name}: {done}, and the file takes {size[0]} x {size[1]}: export it for that --shape')
        raise InputError(
            f'{name}: {done}; the file takes {size[0]} x {size[1]} and tells no way of resizing: resize it yourself'
        )
    return picture


def take_steps(picture: np.ndarray, steps: list[dict[str, Any]]) -> np.ndarray:
    """Return the picture (H, W, 3) as the steps of :func:`check_steps` make it, in whatever size comes out."""
    for step in steps:
        picture = _STEPS[step['type']](picture, step)
    return picture


def _scale(picture: np.ndarray, step: dict[str, Any], width: int, height: int) -> np.ndarray:
    if min(width, height) < 1:
        raise InputError(
            f'a picture of {picture.shape[0]} x {picture.shape[1]} is too thin to resize; cut it into tiles'
        )
    way = _WAYS[step['backend']][step['interpolation']]
    if step['backend'] == 'cv2':
        return cv2.resize(np.ascontiguousarray(picture), (width, height), interpolation=way)
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize((width, height), way))


def _resize(picture: np.ndarray, step: dict[str, Any]) -> np.ndarray:
    return _scale(picture, step, *step['scale'])


def _resize_inside(picture: np.ndarray, step: dict[str, Any]) -> np.ndarray:
    """As large as fits into the scale, long side into its long side; the picture keeps its proportions."""
    (height, width), sides = picture.shape[:2], step['scale']
    factor = min(max(sides) / max(height, width), min(sides) / min(height, width))
    return _scale(picture, step, int(width * factor + 0.5), int(height * factor + 0.5))


def _resize_edge(picture: np.ndarray, step: dict[str, Any]) -> np.ndarray:
    (height, width), edge, scale = picture.shape[:2], step['edge'], step['scale']
    if edge == 'width' or (edge == 'short' and width < height) or (edge == 'long' and width > height):
        return _scale(picture, step, scale, int(scale * height / width))
    return _scale(picture, step, int(scale * width / height), scale)


def _center_crop(picture: np.ndarray, step: dict[str, Any]) -> np.ndarray:
    (height, width), (crop_width, crop_height) = picture.shape[:2], step['crop_size']
    y, x = (max(0, round((one - crop) / 2)) for one, crop in ((height, crop_height), (width, crop_width)))
    return picture[y : y + crop_height, x : x + crop_width]


# The steps of mmcv and mmpretrain with these names, without their options beyond the keys.
_STEPS: dict[str, Callable[[np.ndarray, dict[str, Any]], np.ndarray]] = {
    'Resize': _resize,
    'ResizeInside': _resize_inside,  # Resize with keep_ratio=True
    'ResizeEdge': _resize_edge,
    'CenterCrop': _center_crop,
}
_KEYS = {
    'Resize': ('scale', 'backend', 'interpolation'),
    'ResizeInside': ('scale', 'backend', 'interpolation'),
    'ResizeEdge': ('scale', 'edge', 'backend', 'interpolation'),
    'CenterCrop': ('crop_size',),
}
