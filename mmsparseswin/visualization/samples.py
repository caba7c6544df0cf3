"""Samples of a config's data set as the model gets them, and as they are stored, ready to be drawn."""

import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from mmsparseswin.cli.channel_order import read_order
from mmsparseswin.errors import InputError
from mmsparseswin.visualization.marks import Marks, class_colour

_IGNORED = (150, 150, 150)  # crowds, and objects flagged `ignore`


class Sample(NamedTuple):
    """One picture (height, width, 3) uint8 RGB, its objects (none for a classifier), and a heading."""

    pixels: np.ndarray
    marks: Marks
    title: str


class Samples:
    """The data set of one loader of a config.

    Args:
        cfg: an mmdet or mmpretrain config.
        split: 'train', 'val' or 'test'.

    Raises:
        InputError: the config has no such loader.
    """

    def __init__(self, cfg: Config, split: str) -> None:
        loader = cfg.get(f'{split}_dataloader')
        if not loader:
            raise InputError(f'the config has no {split}_dataloader')
        init_default_scope(cfg.get('default_scope', 'mmdet'))
        self.detects = cfg.get('default_scope') != 'mmpretrain'
        self.dataset = DATASETS.build(deepcopy(loader.dataset))
        self.names = tuple(map(str, self.dataset.metainfo.get('classes') or ()))
        self._is_bgr = read_order(cfg, split) == 'bgr'

    def choose(self, number: int, seed: int, shuffle: bool) -> list[int]:
        """Return the indices of `number` samples: the first ones, or a draw by `seed`."""
        indices = list(range(len(self.dataset)))
        if shuffle:
            random.Random(seed).shuffle(indices)
        return indices[:number]

    def views(self, index: int, count: int) -> Iterator[Sample]:
        """Yield sample number `index` after augmentation, `count` draws.

        Seed `random`, numpy and torch before; a pipeline that drops this picture (no object left) gives another one.
        """
        for _ in range(count):
            data = self.dataset[index]
            pixels = _to_rgb(data['inputs'], self._is_bgr)
            if self.detects:
                yield self._detection(pixels, data['data_samples'])
            else:
                yield self._classification(pixels, data['data_samples'])

    def _detection(self, pixels: np.ndarray, sample: Any) -> Sample:
        truth, ignored = sample.gt_instances, sample.get('ignored_instances', [])
        parts = [truth, ignored] if len(ignored) else [truth]
        labels = np.concatenate([part.labels.numpy() for part in parts])
        masks = None
        if all('masks' in part for part in parts):
            masks = np.concatenate([part.masks.to_ndarray() for part in parts]).astype(bool)
            masks = masks.reshape(len(labels), *pixels.shape[:2]) if not len(labels) else masks
        names = [self.names[label] if label < len(self.names) else str(label) for label in labels.tolist()]
        names[len(truth) :] = [f'ignored: {name}' for name in names[len(truth) :]]
        colours = [class_colour(label) for label in labels.tolist()]
        colours[len(truth) :] = [_IGNORED] * len(ignored)
        boxes = np.concatenate([_plain(part.bboxes) for part in parts])
        file = str(sample.metainfo.get('img_path', '')).rpartition('/')[2]
        title = f'{file} · {pixels.shape[1]} x {pixels.shape[0]} · {len(truth)} objects'
        return Sample(pixels, Marks(boxes, labels, None, masks, names, colours), title)

    def _classification(self, pixels: np.ndarray, sample: Any) -> Sample:
        none = Marks(np.zeros((0, 4)), np.zeros(0, int))
        labels = sample.gt_label.tolist() if 'gt_label' in sample else []
        names = [self.names[label] if label < len(self.names) else str(label) for label in labels]
        return Sample(pixels, none, ' + '.join(names) or 'no label')


def _plain(boxes: Any) -> np.ndarray:
    return torch.as_tensor(getattr(boxes, 'tensor', boxes)).numpy().reshape(-1, 4)


def _to_rgb(inputs: torch.Tensor, is_bgr: bool) -> np.ndarray:
    pixels = inputs.float().clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, 2)
    return np.ascontiguousarray(pixels[..., ::-1] if is_bgr else pixels)
