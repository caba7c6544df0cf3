"""Make a sound COCO file and damage it in seeded ways."""

import contextlib
import copy
import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as pycoco

CLASSES = ('disk', 'ring', 'star')
SIZES = ((96, 80), (64, 120), (200, 150))


def base(folder: Path) -> dict[str, Any]:
    """Write pictures and return a sound file: polygons, both kinds of RLE, a crowd, an empty picture."""
    rng = random.Random(0)
    content: dict[str, Any] = dict(
        info=dict(year=2020),
        images=[],
        annotations=[],
        categories=[dict(id=3 * i + 1, name=name, supercategory='thing') for i, name in enumerate(CLASSES)],
    )
    (folder / 'images').mkdir(parents=True, exist_ok=True)
    for index in range(6):
        width, height = SIZES[index % 3]
        name = f'{index:02d}.png'
        Image.new('RGB', (width, height)).save(folder / 'images' / name)
        content['images'].append(dict(id=10 + index, file_name=name, width=width, height=height))
        for number in range(0 if index == 5 else 3):
            content['annotations'].append(_object(rng, content, index, number, width, height))
    return content


def _object(rng: random.Random, content: dict, index: int, number: int, width: int, height: int) -> dict[str, Any]:
    w, h = rng.randint(24, 40), rng.randint(24, 40)
    x, y = rng.randint(1, width - w - 1), rng.randint(1, height - h - 1)
    crowd = int(index == 4 and number == 2)
    corners: Any = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    if crowd or number == 1:
        corners = pycoco.merge(pycoco.frPyObjects(corners, height, width))
        if index % 2:
            mask = pycoco.decode(corners).ravel(order='F')
            edges = [*np.flatnonzero(np.diff(mask, prepend=0)).tolist(), mask.size]
            corners = dict(size=[height, width], counts=np.diff([0, *edges]).tolist())
        else:
            corners['counts'] = corners['counts'].decode()
    return dict(
        id=100 + len(content['annotations']),
        image_id=10 + index,
        category_id=3 * ((index + number) % 3) + 1,
        bbox=[x, y, w, h],
        area=w * h,
        iscrowd=crowd,
        segmentation=corners,
    )


WILD: list[Any] = [
    *(None, True, False, 0, -1, 1, 1.5, 5, 1e9, -1e9, 1e308, math.nan, math.inf, -math.inf, 10**30, 2**31, 2**53 + 1),
    *('', 'x', '5', '1e5', ' 5', 'disk', '\ud800', 'a\0b', '../x', 'x' * 5000),
    *([], {}, [[]], [None], [0, 0], [1, 2, 3, 4], [[5, 5, 9, 9]], {'size': [1, 1]}, {'counts': 'x', 'size': [80, 96]}),
    [[[[1]]]],
]


def _places(node: Any, path: tuple = ()) -> list[tuple]:
    """Return the paths of all values."""
    found = [path] if path else []
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        found += _places(value, (*path, key))
    return found


def _holder(content: Any, path: tuple) -> Any:
    for key in path[:-1]:
        content = content[key]
    return content


def _value(rng: random.Random, content: Any, path: tuple) -> None:
    _holder(content, path)[path[-1]] = copy.deepcopy(rng.choice(WILD))


def _delete(rng: random.Random, content: Any, path: tuple) -> None:
    del _holder(content, path)[path[-1]]


def _number(rng: random.Random, content: Any, path: tuple) -> None:
    holder, key = _holder(content, path), path[-1]
    if isinstance(holder[key], (int, float)):
        change = rng.choice([lambda v: -v, lambda v: v * 2, lambda v: v * 1000, lambda v: v / 2, lambda v: v + 7])
        holder[key] = change(holder[key])


def _kind(rng: random.Random, content: Any, path: tuple) -> None:
    holder, key = _holder(content, path), path[-1]
    change = rng.choice([lambda v: [v], str, lambda v: {'value': v}, lambda v: float(v) if isinstance(v, int) else v])
    holder[key] = change(holder[key])


def _double(rng: random.Random, content: Any, path: tuple) -> None:
    holder = _holder(content, path)
    if isinstance(holder, list):
        holder.append(copy.deepcopy(holder[path[-1]]))


def _swap(rng: random.Random, content: Any, path: tuple) -> None:
    holder = _holder(content, path)
    if isinstance(holder, list):
        other = rng.randrange(len(holder))
        holder[path[-1]], holder[other] = holder[other], holder[path[-1]]
    elif 'width' in holder:
        holder['width'], holder['height'] = holder['height'], holder['width']


def _exporter(rng: random.Random, content: Any, path: tuple) -> None:
    """Apply a common mistake of exporters to all records."""
    anns, images, categories = content['annotations'], content['images'], content['categories']
    kind = rng.randrange(14)
    for index, ann in enumerate(anns):
        x, y, w, h = ann['bbox']
        if kind == 0:
            ann['id'] = index
        elif kind == 1:
            ann['id'] = f'ann-{index}'
        elif kind == 2:
            ann['bbox'] = [x, y, x + w, y + h]
        elif kind == 3:
            ann['bbox'] = [v / 100 for v in ann['bbox']]
        elif kind == 4:
            ann['segmentation'] = rng.choice([[], None, [[x, y, x + w, y + h]], [x, y, x + w, y, x, y + h]])
        elif kind == 5:
            ann[rng.choice(['iscrowd', 'ignore'])] = rng.choice([1, True])
        elif kind == 6:
            ann['area'] = rng.choice([0, 0.0, 1e-3, -1])
        elif kind == 7:
            ann.pop('iscrowd')
        elif kind == 8:
            ann['id'] = 1 + index % 5
    if kind == 9:
        rng.shuffle(categories)
    elif kind == 10:
        categories.insert(0, dict(id=0, name=rng.choice(CLASSES)))
    elif kind in (11, 12):
        make = rng.choice([str, float, lambda i: f'photo_{i}', lambda i: i + 10**18, lambda i: f'{i:04d}'])
        field = 'image_id' if kind == 11 else 'category_id'
        for record in images if kind == 11 else categories:
            record['id'] = make(record['id'])
        for ann in anns:
            ann[field] = make(ann[field])
    elif kind == 13:
        for image in images:
            image['width'], image['height'] = image['height'], image['width']


_CHANGES = [_value] * 6 + [_number] * 4 + [_delete, _kind, _double, _swap] * 2 + [_exporter] * 2


def mutate(content: dict[str, Any], seed: int) -> bytes:
    """Return the file `content` with one or two faults, the same for the same `seed`."""
    rng = random.Random(seed)
    content = copy.deepcopy(content)
    for _ in range(rng.choice([1, 1, 1, 2])):
        if not isinstance(content, dict) or not (places := _places(content)):
            break
        shallow = [path for path in places if len(path) <= rng.choice([1, 2, 3, 9])] or places
        # A second fault may meet what the first one has broken.
        with contextlib.suppress(KeyError, TypeError, AttributeError, ValueError, IndexError, OverflowError):
            rng.choice(_CHANGES)(rng, content, rng.choice(shallow))
    data = json.dumps(content).encode()
    if rng.random() < 0.06:
        at = rng.randrange(len(data))
        data = rng.choice(
            [
                data[:at],
                data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :],
                b'\xef\xbb\xbf' + data,
                data.decode().encode('utf-16'),
                data.decode().encode('utf-32'),
                data.replace(b'disk', b'd\xefsk'),
                b'[' * 100_000,
                b'',
            ]
        )
    return data


def _parsed(data: bytes) -> Any:
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(data)


def is_another_data_set(sound: dict[str, Any], data: bytes) -> bool:
    """Return True if `data` is a sound file of other but equally plausible content than `sound`."""
    content = _parsed(data)
    try:
        lists = [[record['id'] for record in content[name]] for name in ('images', 'annotations', 'categories')]
        if lists != [[record['id'] for record in sound[name]] for name in ('images', 'annotations', 'categories')]:
            return len(lists[1]) < len(sound['annotations']) or len(lists[0]) < len(sound['images'])
        for ann, old in zip(content['annotations'], sound['annotations'], strict=True):
            # Another picture or class, a crowd or not, a box or mask drawn a little differently.
            if any(ann.get(name) != old.get(name) for name in ('image_id', 'category_id', 'iscrowd', 'ignore')):
                return True
            if any(0 < abs(a - b) <= 2.5 for a, b in zip(ann['bbox'], old['bbox'], strict=True)):
                return True
            if ann['segmentation'] != old['segmentation'] and _mask_iou(ann, old, sound) > 0.8:
                return True
            if ann['area'] != old['area'] and abs(ann['area'] - old['area']) < 0.3 * old['area']:
                return True
        named = (('images', 'file_name'), ('categories', 'name'))
        names = [[record[key] for record in content[name]] for name, key in named]
        old_names = [[record[key] for record in sound[name]] for name, key in named]
        return names != old_names and [sorted(n) for n in names] == [sorted(n) for n in old_names]
    except (KeyError, TypeError, ValueError, AttributeError):
        return False


def _mask_iou(ann: dict, old: dict, sound: dict) -> float:
    image = next(image for image in sound['images'] if image['id'] == old['image_id'])
    masks = [rle(one['segmentation'], image) for one in (ann, old)]
    return float(pycoco.iou(masks[:1], masks[1:], [0])[0, 0])


def rle(segmentation: Any, image: dict) -> dict:
    if isinstance(segmentation, dict) and isinstance(segmentation['counts'], str):
        return segmentation
    rle = pycoco.frPyObjects(segmentation, image['height'], image['width'])
    return pycoco.merge(rle) if isinstance(rle, list) else rle
