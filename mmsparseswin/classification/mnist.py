"""Read MNIST from one packed file or from the usual four."""

from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset as AnyDataset
from mmpretrain.datasets import MNIST, BaseDataset

from mmsparseswin.errors import InputError
from mmsparseswin.registry import DATASETS

PACKED = 'mnist.npz'


@DATASETS.register_module()
class PackedMNIST(BaseDataset):
    """MNIST in one file ``mnist.npz``, with arrays `{train,test}_images` (N, 28, 28) uint8 and `{train,test}_labels`.

    Args:
        data_root: folder of the file.
        split: 'train' or 'test'.
        **options: those of mmpretrain's data sets (``pipeline``, ``indices``, ...).

    Raises:
        InputError: no such split, or a file that does not hold these arrays.
    """

    METAINFO = MNIST.METAINFO

    def __init__(self, data_root: str, split: str = 'train', **options: Any) -> None:
        if split not in ('train', 'test'):
            raise InputError(f"split {split!r} is unknown; choose 'train' or 'test'")
        self.split = split
        super().__init__(ann_file='', data_root=data_root, **options)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the file and return a record of label and index per image."""
        path = Path(self.data_root) / PACKED
        try:
            with np.load(path, allow_pickle=False) as file:
                self.images, labels = file[f'{self.split}_images'], file[f'{self.split}_labels']
        except (OSError, KeyError, ValueError) as error:
            raise InputError(f'{path}: no arrays {self.split}_images and {self.split}_labels ({error})') from error
        shape, kind = self.images.shape, self.images.dtype
        if shape != (len(labels), 28, 28) or kind != np.uint8 or not set(np.unique(labels)) <= set(range(10)):
            raise InputError(
                f'{path}: {self.split}_images is {kind} {shape} beside {len(labels)} labels; expected uint8 '
                '(N, 28, 28) and N labels from 0 to 9'
            )
        return [{'gt_label': int(label), 'place': place} for place, label in enumerate(labels)]

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Return image, label and size; the image is a copy, because some transforms change it in place."""
        info = super().get_data_info(idx)
        info['img'] = self.images[info.pop('place')].copy()
        info['img_shape'] = info['ori_shape'] = info['img'].shape[:2]
        return info


@DATASETS.register_module(name='MNIST')
def mnist(data_root: str, split: str, **options: Any) -> AnyDataset:
    """Build MNIST from ``mnist.npz`` in ``data_root``, else from mmpretrain's four files, downloaded if missing."""
    if (Path(data_root).expanduser() / PACKED).is_file():
        return PackedMNIST(str(Path(data_root).expanduser()), split, **options)
    try:
        return MNIST(data_root, split, **options)
    except OSError as error:
        raise InputError(
            f'no MNIST in {data_root}, and its download failed ({error}); put the four idx files or {PACKED} there, or '
            'name their place with --cfg-options data_root=DIR'
        ) from error
