"""Measure the start of a job on annotation files of full COCO's size, drawn at random."""

import sys
from pathlib import Path

import msgspec
import numpy as np
from measured import Measured, run_measured
from PIL import Image

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT, POINTS = 640, 480, 24
_CHUNK = 10_000


def write_coco(root: Path, split: str, images: int, objects: int, categories: list[str], seed: int = 0) -> Path:
    """Write an annotation file of `images` pictures and `objects` ellipses with polygons, and links to one picture."""
    folder = root / split
    folder.mkdir(parents=True)
    (root / 'annotations').mkdir(exist_ok=True)
    Image.new('RGB', (WIDTH, HEIGHT), 'teal').save(root / f'{split}.jpg')
    names = [f'{number:012d}.jpg' for number in range(1, images + 1)]
    for name in names:
        (folder / name).symlink_to(root / f'{split}.jpg')
    records = [dict(id=i, file_name=name, width=WIDTH, height=HEIGHT) for i, name in enumerate(names, 1)]
    classes = [dict(id=i, name=name) for i, name in enumerate(categories, 1)]
    path = root / 'annotations' / f'instances_{split}.json'
    rng = np.random.default_rng(seed)
    with path.open('wb') as file:
        file.write(b'{"images":' + msgspec.json.encode(records) + b',"categories":' + msgspec.json.encode(classes))
        file.write(b',"annotations":[')
        for start in range(0, objects, _CHUNK):
            part = _annotations(rng, range(start, min(start + _CHUNK, objects)), images, len(classes))
            file.write((b',' if start else b'') + msgspec.json.encode(part)[1:-1])
        file.write(b']}')
    return path


def _annotations(rng: np.random.Generator, numbers: range, images: int, classes: int) -> list[dict]:
    count = len(numbers)
    radius = rng.uniform(4, 100, (count, 2))
    centre = radius + rng.random((count, 2)) * (np.array([WIDTH, HEIGHT]) - 2 * radius)
    angle = np.arange(POINTS) * (2 * np.pi / POINTS)
    points = centre[:, None] + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)  # (N, POINTS, 2)
    points = points.round(2)
    low, high = points.min(1), points.max(1)
    boxes = np.concatenate([low, high - low], 1).round(2).tolist()
    areas = (POINTS / 2 * np.sin(2 * np.pi / POINTS) * radius.prod(1)).round(2).tolist()
    which, labels = (rng.integers(1, most + 1, count).tolist() for most in (images, classes))
    rows = zip(numbers, which, labels, boxes, areas, points.reshape(count, -1).tolist(), strict=True)
    return [
        dict(id=i + 1, image_id=j, category_id=c, bbox=b, area=a, iscrowd=0, segmentation=[p])
        for i, j, c, b, a, p in rows
    ]


def check_twice(folder: Path, images: int = 118_287, objects: int = 860_001) -> tuple[Path, list[Measured]]:
    """Run tools/misc/check_dataset.py on the main job's config, on a tiny set and twice on sets of COCO's size.

    Returns:
        the large annotation file, and the three runs.
    """
    from mmdet.datasets import CocoDataset

    classes = list(CocoDataset.METAINFO['classes'])
    roots = folder / 'tiny', folder / 'coco'
    write_coco(roots[0], 'train2017', 4, 80, classes)
    write_coco(roots[0], 'val2017', 4, 80, classes, seed=1)
    large = write_coco(roots[1], 'train2017', images, objects, classes)
    write_coco(roots[1], 'val2017', images // 24, objects // 24, classes, seed=1)
    tool, config = ROOT / 'tools/misc/check_dataset.py', ROOT / 'configs/cascade_sparseswin_coco.py'
    runs = []
    for root in (roots[0], roots[1], roots[1]):
        command = [sys.executable, str(tool), str(config), '--cfg-options', f'data_root={root}/']
        runs.append(run_measured(command, folder))
    return large, runs
