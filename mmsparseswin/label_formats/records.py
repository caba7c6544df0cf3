"""Labelled pictures in memory, the common ground of all readers of labels."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmsparseswin.image_files import EXTENSIONS
from mmsparseswin.image_headers import read_header
from mmsparseswin.label_formats.problems import LabelError


class Instance(NamedTuple):
    """One object of a picture."""

    label: int
    box: tuple[float, float, float, float]  # left, top, width, height in pixels
    area: float
    segmentation: Any = None  # COCO's polygons or run lengths
    ignored: bool = False  # not to learn and not to score


class Picture(NamedTuple):
    """One picture file and its objects."""

    path: Path
    size: tuple[int, int]  # width, height
    instances: list[Instance]


class LabelledData(NamedTuple):
    """Data set in its splits."""

    classes: tuple[str, ...]
    splits: dict[str, list[Picture]]
    root: Path  # folder that all pictures lie below
    notes: list[str]  # what a user should know, one line each


def box_instance(label: int, left: float, top: float, right: float, bottom: float, ignored: bool = False) -> Instance:
    """Return the object of a box given by its corners in pixels.

    Raises:
        LabelError: it has no width or height.
    """
    width, height = right - left, bottom - top
    if not (width > 0 and height > 0):
        raise LabelError(f'the box ({left:g}, {top:g}) to ({right:g}, {bottom:g}) has no width or no height')
    return Instance(label, (left, top, width, height), width * height, ignored=ignored)


def polygon_instance(label: int, points: np.ndarray) -> Instance:
    """Return the object inside the polygon `points`, (N, 2) in pixels.

    Raises:
        LabelError: it encloses no pixel's worth of area.
    """
    (left, top), (right, bottom) = points.min(0), points.max(0)
    x, y = points.T
    area = abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) / 2
    if not (right > left and bottom > top and area > 0):
        raise LabelError(f'the polygon of {len(points)} points encloses no area')
    box = tuple(float(value) for value in (left, top, right - left, bottom - top))
    return Instance(label, box, area, [points.ravel().tolist()])  # type: ignore[arg-type]


def upright_size(path: Path) -> tuple[int, int]:
    """Return width and height of the picture at `path` as labelling programs show it, turned by its EXIF data.

    Raises:
        LabelError: no picture that can be read.
    """
    header = read_header(path)
    if header is None:
        raise LabelError('cannot be read as a picture')
    return header.upright


def pictures_below(folder: Path) -> list[Path]:
    """Return the picture files below `folder`, sorted; hidden files and folders are left out."""
    found = (path for path in folder.rglob('*') if path.suffix.lower() in EXTENSIONS)
    return sorted(
        path for path in found if not any(part.startswith(('.', '__MACOSX')) for part in path.relative_to(folder).parts)
    )


def split_name(name: str) -> str:
    """Return the usual name of a split: val for valid and validation."""
    return 'val' if name in ('valid', 'validation') else name
