"""Draw the embedded data set: a synthetic instance-segmentation set in COCO layout.

    root/shapes.json                            what was drawn; written last, so a set that has it whole is whole
    root/{train,val}/000001.jpg ...             the pictures, numbered like their image ids
    root/annotations/instances_{train,val}.json

`drawing` draws one picture; this module numbers, writes and re-uses them. docs/shapes.md shows some.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

from mmsparseswin.errors import InputError
from mmsparseswin.shapes import drawing, textures
from mmsparseswin.shapes.drawing import CLASSES, Annotation, draw_picture

__all__ = ['CLASSES', 'MIN_SIZE', 'SPLITS', 'draw_dataset', 'read_annotations']

SPLITS = ('train', 'val')
MIN_SIZE = 32
MANIFEST = 'shapes.json'


def draw_dataset(root: str | Path, images: tuple[int, int] = (800, 200), size: int = 160, seed: int = 0) -> bool:
    """Draw the set unless `root` already holds it.

    A picture depends on `size`, `seed`, its split and its number only, so a larger set starts with the smaller one.

    Args:
        root: Folder to fill. One with other settings is drawn anew; one that something else filled is refused.
        images: How many pictures to train on and to validate on.
        size: The longer side of every picture, in pixels.
        seed: A whole number, 0 or more.

    Returns:
        True if the set was drawn, False if the one in `root` was re-used.

    Raises:
        InputError: A setting is out of range, or `root` cannot be used.
    """
    settings = _settings(images, size, seed)
    root = Path(root)
    if _is_drawn(root, settings):
        return False
    manifest = root / MANIFEST
    try:
        if not manifest.exists() and root.exists() and any(root.iterdir()):
            raise InputError(
                f'{root} is not empty and holds no {MANIFEST}: other files are there; choose a new folder.'
            )
        root.mkdir(parents=True, exist_ok=True)
        # Marks the folder as drawn by us, so that it can be redrawn after an interruption.
        manifest.write_text(json.dumps({'settings': None}))
        for split, count in zip(SPLITS, images, strict=True):
            _draw_split(root, split, count, size, seed)
        manifest.write_text(json.dumps({'settings': settings}, indent=2) + '\n')
    except OSError as error:
        raise InputError(
            f'Cannot write the data set to {root}: {error}. Choose a folder that can be written.'
        ) from error
    return True


def read_annotations(root: str | Path, split: str) -> dict[str, Any]:
    """Read the COCO annotations of one split of a drawn set."""
    return json.loads(_annotation_file(Path(root), split).read_text())


def _settings(images: tuple[int, int], size: int, seed: int) -> dict[str, Any]:
    """Check the settings and return everything the files depend on, including the drawing code."""
    if len(images) != len(SPLITS) or min(images) < 1:
        raise InputError(f'images {tuple(images)} must be two counts of at least 1, train and val, e.g. 800 200.')
    if size < MIN_SIZE:
        raise InputError(f'size {size} is too small to tell shapes apart; use {MIN_SIZE} pixels or more, e.g. 160.')
    if seed < 0:
        raise InputError(f'seed {seed} is negative; use 0 or more.')
    files = (__file__, drawing.__file__, textures.__file__)
    code = b''.join(Path(file).read_bytes() for file in files)
    return {'images': list(images), 'size': size, 'seed': seed, 'drawing_code': hashlib.sha256(code).hexdigest()}


def _is_drawn(root: Path, settings: dict[str, Any]) -> bool:
    """Return True if `root` holds the whole set with these settings."""
    try:
        manifest = json.loads((root / MANIFEST).read_text())
    except (OSError, ValueError):
        return False
    return (
        isinstance(manifest, dict)
        and manifest.get('settings') == settings
        and all(
            _annotation_file(root, split).is_file() and len(list((root / split).glob('*.jpg'))) == count
            for split, count in zip(SPLITS, settings['images'], strict=True)
        )
    )


def _annotation_file(root: Path, split: str) -> Path:
    return root / 'annotations' / f'instances_{split}.json'


def _draw_split(root: Path, split: str, count: int, size: int, seed: int) -> None:
    """Draw the pictures of one split, then their annotation file."""
    folder = root / split
    shutil.rmtree(folder, ignore_errors=True)  # removes pictures of an earlier, larger set
    folder.mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(1, count + 1):
        picture, objects = draw_picture(np.random.default_rng([seed, SPLITS.index(split), number]), size)
        height, width = picture.shape[:2]
        images.append({'id': number, 'file_name': f'{number:06d}.jpg', 'height': height, 'width': width})
        Image.fromarray(picture).save(folder / images[-1]['file_name'], quality=92)
        for item in objects:
            # From 1: pycocotools takes the id 0 for "not matched".
            annotations.append({'id': len(annotations) + 1, 'image_id': number, **_coco_fields(item)})
    content = {
        'info': {'description': f'MMSparseSwin shapes, {split}: long side {size}, seed {seed}', 'version': '1.0'},
        'licenses': [],
        'images': images,
        'annotations': annotations,
        'categories': [{'id': k, 'name': name, 'supercategory': 'shape'} for k, name in enumerate(CLASSES, start=1)],
    }
    path = _annotation_file(root, split)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def _coco_fields(item: Annotation) -> dict[str, Any]:
    """Return the COCO fields of one object; the mask is a compressed RLE, which keeps holes and is exact."""
    rle = mask_utils.encode(np.asfortranarray(item.mask, np.uint8))
    return {
        'category_id': item.category + 1,
        'segmentation': {'size': rle['size'], 'counts': rle['counts'].decode('ascii')},
        'area': int(mask_utils.area(rle)),
        'bbox': mask_utils.toBbox(rle).tolist(),
        'iscrowd': int(item.iscrowd),
    }
