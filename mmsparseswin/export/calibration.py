"""Pictures that a quantised file is calibrated on, and others that it is compared on."""

from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from mmsparseswin.cli.channel_order import read_order
from mmsparseswin.errors import InputError
from mmsparseswin.export.pictures import read_pictures, resize

PICTURES = 200


class Calibration(NamedTuple):
    """Pictures for quantisation, (N, H, W, 3) uint8 in the order BGR.

    Attributes:
        pictures: ranges of values are taken from these.
        compared: the file is compared with the model on these.
        labels: of ``compared``, of a classifier's data; else None.
        source: what they are.
    """

    pictures: np.ndarray
    compared: np.ndarray
    labels: np.ndarray | None
    source: str


def from_images(paths: list[str], count: int, shape: tuple[int, int]) -> Calibration:
    """Return the first `count` pictures that `paths` name, resized to `shape`, for both purposes."""
    pictures, _ = read_pictures(paths, shape, count)
    return Calibration(pictures, pictures, None, f'{len(pictures)} pictures of --images, for both')


def from_data(cfg: Config, count: int, shape: tuple[int, int]) -> Calibration:
    """Return `count` training and as many validation pictures of a config, evenly spread, after its test steps.

    Args:
        cfg: an mmdet or mmpretrain config.
        count: of each.
        shape: (height, width); pictures that the steps bring to another size are resized to it.

    Raises:
        InputError: the config has no data, or they cannot be read.
    """
    split = next((one for one in ('val', 'test') if cfg.get(f'{one}_dataloader')), None)
    if split is None:
        raise InputError('--precision int8: the config has no data to calibrate on; name pictures by --images')
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    validation = deepcopy(cfg[f'{split}_dataloader'].dataset)
    training: Any = deepcopy((cfg.get('train_dataloader') or {}).get('dataset') or {})
    # Augmented pictures are not those that the file will see. A data set inside another one has its own steps.
    taken = 'train' if 'pipeline' in training and 'pipeline' in validation else split
    if taken == 'train':
        training.pipeline = validation.pipeline
    try:
        pictures, _ = _read(training if taken == 'train' else validation, count, shape, read_order(cfg, split))
        compared, labels = _read(validation, count, shape, read_order(cfg, split))
    except OSError as error:
        raise InputError(
            f'--precision int8: the data of the config cannot be read ({error}); correct data_root, or name pictures '
            'by --images'
        ) from error
    source = f'calibrated on {len(pictures)} pictures of {taken}_dataloader, compared on {len(compared)} of {split}'
    return Calibration(pictures, compared, labels, f'{source}_dataloader')


def _read(data: dict[str, Any], count: int, shape: tuple[int, int], order: str) -> tuple[np.ndarray, np.ndarray | None]:
    dataset = DATASETS.build(data)
    chosen = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int)
    pictures, labels = [], []
    for index in chosen:
        sample = dataset[int(index)]
        pixels = sample['inputs'].permute(1, 2, 0).numpy()  # (H, W, 3)
        pixels = pixels if order == 'bgr' else pixels[..., ::-1]
        pictures.append(pixels if pixels.shape[:2] == shape else resize(pixels, shape))
        label = getattr(sample['data_samples'], 'gt_label', None)
        if label is not None:
            labels.append(int(label))
    return np.stack(pictures), np.array(labels) if len(labels) == len(pictures) else None
