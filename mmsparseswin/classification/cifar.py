"""Read CIFAR from packed sheets or from the files of mmpretrain."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset as AnyDataset
from mmpretrain.datasets import CIFAR10, CIFAR100, BaseDataset
from PIL import Image

from mmsparseswin.errors import InputError
from mmsparseswin.registry import DATASETS

SPLITS = ('train', 'test')


@DATASETS.register_module()
class PackedCIFAR(BaseDataset):
    """Data set of small images packed into lossless sheets, decoded once and kept in memory (150 MB for CIFAR-10).

    A sheet is a picture of square tiles, row-major, beside a JSON file of the same name with the keys 'n' (images),
    'cols' (tiles per row), 'classes' and 'labels'. All sheets of ``data_root`` whose names contain the split belong to
    it, in the order of their names. Images are RGB, as mmpretrain's CIFAR: ``data_preprocessor.to_rgb=False``.

    Args:
        data_root: folder of the sheets.
        split: 'train' or 'test'.
        **options: those of mmpretrain's data sets (``pipeline``, ``indices``, ...).

    Raises:
        InputError: no such split or sheet, or a sheet that does not hold what its JSON file says.
    """

    def __init__(self, data_root: str, split: str = 'train', **options: Any) -> None:
        if split not in SPLITS:
            raise InputError(f'split {split!r} is unknown; choose one of {list(SPLITS)}')
        self.split = split
        super().__init__(ann_file='', data_root=data_root, **options)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Decode the sheets and return a record of label and index per image."""
        sheets = find_sheets(self.data_root, self.split)
        if not sheets:
            raise InputError(f'no sheets in {self.data_root}: expected {self.split}*.json, each beside a .webp or .png')
        contents = [(sheet, json.loads(sheet.read_bytes())) for sheet in sheets]
        classes = tuple(contents[0][1]['classes'])
        images, labels = [], []
        for sheet, meta in contents:
            if tuple(meta['classes']) != classes or len(meta['labels']) != meta['n']:
                raise InputError(f'{sheet}: other classes than {sheets[0]}, or not one label for each of its images')
            images.append(unpack(sheet, meta['n'], meta['cols']))
            labels += meta['labels']
        self.images = np.concatenate(images)  # (images, side, side, 3), RGB
        self._metainfo.setdefault('classes', classes)
        return [{'gt_label': label, 'place': place} for place, label in enumerate(labels)]

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Return image, label and size; the image is a copy, because some transforms change it in place."""
        info = super().get_data_info(idx)
        info['img'] = self.images[info.pop('place')].copy()
        info['img_shape'] = info['ori_shape'] = info['img'].shape[:2]
        return info


def find_sheets(data_root: str, split: str) -> list[Path]:
    """Return the JSON files of the sheets of a split."""
    return sorted(path for path in Path(data_root).expanduser().glob('*.json') if split in path.stem)


def unpack(sheet: Path, count: int, cols: int) -> np.ndarray:
    """Return the tiles of a sheet, given its JSON file: (count, side, side, 3) uint8 RGB.

    Raises:
        InputError: no picture, or one of another size.
    """
    pictures = [path for suffix in ('.webp', '.png') if (path := sheet.with_suffix(suffix)).is_file()]
    if not pictures:
        raise InputError(f'no sheet {sheet.with_suffix(".webp")} (or .png) beside {sheet.name}')
    with Image.open(pictures[0]) as picture:
        pixels = np.asarray(picture.convert('RGB'))
    side, rows = pixels.shape[1] // cols, -(-count // cols)
    if pixels.shape != (rows * side, cols * side, 3):
        size = f'{pixels.shape[1]} x {pixels.shape[0]}'
        raise InputError(f'{pictures[0]} is {size} pixels, which is not {count} square tiles in rows of {cols}')
    return pixels.reshape(rows, side, cols, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)[:count]


@DATASETS.register_module(name='CIFAR10')
def cifar10(data_root: str, split: str, **options: Any) -> AnyDataset:
    """Build CIFAR-10 from the packed sheets in ``data_root``, else from mmpretrain's batches, downloaded if missing."""
    return _packed_or_batches(CIFAR10, data_root, split, options)


@DATASETS.register_module(name='CIFAR100')
def cifar100(data_root: str, split: str, **options: Any) -> AnyDataset:
    """Build CIFAR-100 like :func:`cifar10`."""
    return _packed_or_batches(CIFAR100, data_root, split, options)


def _packed_or_batches(batches: type[CIFAR10], data_root: str, split: str, options: dict) -> AnyDataset:
    if find_sheets(data_root, split):
        return PackedCIFAR(data_root, split, **options)
    try:
        return batches(data_root, split, **options)
    except OSError as error:
        raise InputError(
            f'no {batches.__name__} in {data_root}, and its download failed ({error}); put {batches.base_folder}/ or '
            'packed sheets (docs/classification.md) there, or name their place with --cfg-options data_root=DIR'
        ) from error
