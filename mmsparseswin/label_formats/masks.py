"""Read pictures whose objects are drawn as one mask PNG each, as the Data Science Bowl 2018 has them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as run_lengths

from mmsparseswin.errors import InputError, few
from mmsparseswin.image_headers import read_header
from mmsparseswin.label_formats.problems import LabelError, Problems
from mmsparseswin.label_formats.records import Instance, LabelledData, Picture, pictures_below


def read_masks(root: Path, problems: Problems, name: str = 'object') -> LabelledData:
    """Read a folder of pictures with a folder of masks for each; all are one split, train.

    Two layouts are known: ``PICTURE/images/PICTURE.png`` with ``PICTURE/masks/*.png``, and ``images/PICTURE.png`` with
    ``masks/PICTURE/*.png``. Pixels of a mask that are not 0 are the object. A picture without a folder of masks, or
    with an empty one, has no objects in the first layout and is noted in the second.

    Args:
        root: the folder.
        problems: gets the faults.
        name: name of the only class.

    Raises:
        InputError: no folder, or none of the two layouts.
    """
    if not root.is_dir():
        raise InputError(f'no folder at {root}')
    pairs = list(_pairs(root, problems))
    if not pairs:
        raise InputError(
            f'{root} holds no PICTURE/images/*.png with PICTURE/masks/*.png, nor images/PICTURE.png with '
            'masks/PICTURE/*.png'
        )
    pictures, bare = [], []
    for path, masks in pairs:
        header = read_header(path)
        if header is None:
            problems.add(path, None, 'cannot be read as a picture')
            continue
        if not masks:
            bare.append(path)
        instances = []
        size = header.upright
        for file in masks:
            with problems.at(file):
                mask = _read_mask(file)
                if mask.shape[::-1] not in (header.size, header.upright):
                    raise LabelError(
                        f'the mask is {mask.shape[1]} x {mask.shape[0]} pixels, its picture {path} '
                        f'{size[0]} x {size[1]}'
                    )
                size = mask.shape[::-1]  # drawn on the picture as stored, or turned by its EXIF data
                instances.append(_instance(mask))
        pictures.append(Picture(path, size, instances))
    notes = [f'{len(bare)} pictures have no mask, hence no objects: {few(bare)}'] * bool(bare)
    return LabelledData((name,), {'train': pictures}, root, notes)


def _pairs(root: Path, problems: Problems) -> Iterator[tuple[Path, list[Path]]]:
    """Yield the pictures and their mask files."""
    for folder in sorted(path for path in root.iterdir() if (path / 'images').is_dir() and (path / 'masks').is_dir()):
        found, masks = pictures_below(folder / 'images'), pictures_below(folder / 'masks')
        if len(found) == 1:
            yield found[0], masks
        else:
            problems.add(folder / 'images', None, f'{len(found)} pictures beside one folder of masks, in place of one')
    if (root / 'images').is_dir() and (root / 'masks').is_dir():
        yield from _pairs_by_name(root, problems)


def _pairs_by_name(root: Path, problems: Problems) -> Iterator[tuple[Path, list[Path]]]:
    masks = {folder.name: folder for folder in (root / 'masks').iterdir() if folder.is_dir()}
    if not masks:
        raise InputError(f'{root / "masks"} has no folder PICTURE/ with the masks of a picture, one PNG per object')
    for path in pictures_below(root / 'images'):
        folder = masks.pop(path.stem, None)
        yield path, pictures_below(folder) if folder else []
    for folder in masks.values():
        problems.add(folder, None, f'masks of a picture that {root / "images"} lacks')


def _read_mask(file: Path) -> np.ndarray:
    """Return the mask in `file`, (H, W) bool.

    Raises:
        LabelError: it cannot be read, or has more than two values: then it holds several objects, or grey edges.
    """
    try:
        with Image.open(file) as image:
            pixels = np.asarray(image)
    except Exception as error:  # each decoder raises its own kind
        raise LabelError(f'cannot be read as a picture ({error})') from None
    if pixels.ndim == 3:
        pixels = pixels[..., : 3 if pixels.shape[2] > 2 else 1].max(-1)  # without alpha
    values = np.unique(pixels)
    if len(values) > 2 or (len(values) == 2 and values[0] != 0):
        raise LabelError(
            f'the mask has the values {few(values)}; one object is drawn with one value on 0 (a map that numbers its '
            'objects has to be cut into one mask each)'
        )
    return pixels > 0


def _instance(mask: np.ndarray) -> Instance:
    if not mask.any():
        raise LabelError('the mask is empty')
    code = run_lengths.encode(np.asfortranarray(mask, np.uint8))
    box = tuple(float(value) for value in run_lengths.toBbox(code))
    segmentation = dict(size=list(mask.shape), counts=code['counts'].decode())
    return Instance(0, box, float(run_lengths.area(code)), segmentation)  # type: ignore[arg-type]
