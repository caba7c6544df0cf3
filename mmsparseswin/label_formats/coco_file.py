"""Write labelled pictures as COCO JSON, and copy the pictures beside it."""

import json
import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmsparseswin.atomic_files import write_atomically
from mmsparseswin.errors import InputError
from mmsparseswin.label_formats.records import LabelledData, Picture

_DIGITS = 3  # of a pixel


def coco_content(pictures: Sequence[Picture], names: Sequence[str], classes: Sequence[str]) -> dict[str, list]:
    """Return what a COCO file of `pictures` holds.

    Args:
        pictures: the pictures, all of them labelled.
        names: file names of the pictures, below the folder that a data set will name.
        classes: names by label; category ids are numbered from 1.
    """
    images: list[dict] = []
    annotations: list[dict] = []
    for number, (picture, name) in enumerate(zip(pictures, names, strict=True), 1):
        images.append(dict(id=number, file_name=name, width=picture.size[0], height=picture.size[1]))
        for one in picture.instances:
            record: dict[str, Any] = dict(id=len(annotations) + 1, image_id=number, category_id=one.label + 1)
            record['bbox'] = [round(value, _DIGITS) for value in one.box]
            record['area'] = round(one.area, _DIGITS)
            record['iscrowd'] = int(one.ignored)  # the one flag that mmdet's training and COCO's scores both heed
            if isinstance(one.segmentation, list):
                record['segmentation'] = [[round(value, _DIGITS) for value in part] for part in one.segmentation]
            elif one.segmentation is not None:
                record['segmentation'] = one.segmentation
            annotations.append(record)
    categories = [dict(id=index + 1, name=name) for index, name in enumerate(classes)]
    return dict(images=images, annotations=annotations, categories=categories)


def split_off(data: LabelledData, part: float, seed: int) -> LabelledData:
    """Move the part `part` of the pictures of the only split, train, to a split val, drawn by `seed`.

    Raises:
        InputError: there is a val already, or one of the two would be empty.
    """
    if 'val' in data.splits:
        raise InputError('--val splits a data set that has no val; this one has')
    pictures = data.splits['train']
    count = round(part * len(pictures))
    if not 0 < count < len(pictures):
        raise InputError(f'--val {part:g} of {len(pictures)} pictures are {count}; both splits need pictures')
    chosen = set(random.Random(seed).sample(range(len(pictures)), count))
    train = [picture for index, picture in enumerate(pictures) if index not in chosen]
    val = [pictures[index] for index in sorted(chosen)]
    return data._replace(splits={**data.splits, 'train': train, 'val': val})


def write_folder(data: LabelledData, out: Path, copy_to: str | None = None) -> dict[str, tuple[Path, Path]]:
    """Write ``annotations/instances_SPLIT.json`` of each split below `out`, whole or not at all.

    Args:
        data: the data set.
        out: folder for it.
        copy_to: copy the pictures into this folder below `out`, in whose name ``{split}`` stands for the split; without
            it file names are those below ``data.root``, where the pictures stay.

    Returns:
        Annotation file and folder of the pictures of each split.
    """
    written = {}
    for split, pictures in data.splits.items():
        names = [os.path.relpath(picture.path, data.root) for picture in pictures]
        folder = data.root
        if copy_to is not None:
            folder = out / copy_to.replace('{split}', split)
            names = _copy(pictures, names, folder)
        content = coco_content(pictures, names, data.classes)
        path = out / 'annotations' / f'instances_{split}.json'
        write_atomically(path, json.dumps(content).encode())
        written[split] = (path, folder)
    return written


def _copy(pictures: list[Picture], names: list[str], folder: Path) -> list[str]:
    """Copy the pictures by their file names or, if two share one, by their paths; return the names."""
    short = [os.path.basename(name) for name in names]
    chosen = short if len(set(short)) == len(set(names)) else names
    for picture, name in zip(pictures, chosen, strict=True):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (target.exists() and target.samefile(picture.path)):
            shutil.copyfile(picture.path, target)
    return chosen
