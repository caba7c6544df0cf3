"""Pictures of what the check of a COCO data set complains about."""

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from mmsparseswin.visualization.marks import Marks

if TYPE_CHECKING:
    from mmsparseswin.detection.data_check.datasets import CheckedSet

_ACCUSED, _OTHER = (230, 25, 75), (170, 170, 170)


def flagged(checked: 'CheckedSet', per_finding: int) -> Iterator[tuple[np.ndarray, Marks, str]]:
    """Yield pixels, objects and the finding of each picture that a finding is about, `per_finding` of each.

    The boxes at fault are red and bear their ids, the others are grey. Boxes are drawn as the file has them, in pixels
    of the width and height that it names; a picture that is not there is white, of this size.
    """
    content = json.loads(Path(checked.verdict.path).read_bytes().decode('utf-8-sig'))
    images, annotations = content['images'], content.get('annotations', [])
    of_image: dict[Any, list[int]] = defaultdict(list)
    for index, annotation in enumerate(annotations):
        of_image[annotation['image_id']].append(index)
    place = {image['id']: index for index, image in enumerate(images)}
    for finding in checked.marked:
        accused: dict[int, list[int]] = defaultdict(list)
        for index in finding.indices:
            if finding.section == 'images':
                accused[index] = []
            else:
                accused[place[annotations[index]['image_id']]].append(index)
        for which in list(accused)[:per_finding]:
            image = images[which]
            pixels = read_picture(os.path.join(checked.folder, image['file_name']), (image['width'], image['height']))
            boxes = [index for index in of_image[image['id']] if _is_box(annotations[index]['bbox'])]
            boxes.sort(key=lambda index: index in accused[which])  # those at fault on top
            corners = np.array([annotations[index]['bbox'] for index in boxes], dtype=float).reshape(-1, 4)
            corners[:, 2:] += corners[:, :2]
            bad = [index in accused[which] for index in boxes]
            texts = [f'id {annotations[index]["id"]}' if wrong else '' for index, wrong in zip(boxes, bad, strict=True)]
            colours = [_ACCUSED if wrong else _OTHER for wrong in bad]
            marks = Marks(corners, np.zeros(len(boxes), int), None, None, texts, colours)
            yield pixels, marks, f'{image["file_name"]}: {finding.text}'


def _is_box(box: Any) -> bool:
    return len(box) == 4 and bool(np.isfinite(np.array(box, dtype=float)).all())


def read_picture(path: str, size: tuple[int, int]) -> np.ndarray:
    """Return a picture (height, width, 3) uint8 RGB, turned as `size` (width, height) says; white if there is none."""
    try:
        with Image.open(path) as file:
            upright = ImageOps.exif_transpose(file)
            return np.asarray((upright if upright.size == size else file).convert('RGB')).copy()
    except OSError:
        width, height = (min(max(int(side), 1), 2048) for side in size)
        return np.full((height, width, 3), 255, np.uint8)
