"""A classifier that looks at drawn pictures: classes, and features of its last hidden layer."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.runner import load_checkpoint
from torch import Tensor, nn

from mmsparseswin import mim
from mmsparseswin.errors import InputError
from mmsparseswin.registry import DATASETS, MODELS

_BATCH = 500


class Judge:
    """A trained classifier of mmpretrain, with the test pipeline of its config.

    Args:
        config: of the classifier.
        checkpoint: file that its training wrote.
        data_root: folder of its data; None leaves the config's.

    Raises:
        InputError: no such file, or a classifier without a last linear layer.
    """

    def __init__(self, config: str, checkpoint: str, data_root: str | None = None) -> None:
        path = mim.resolve(config)
        if not Path(checkpoint).is_file():
            raise InputError(
                f'no judge at {checkpoint}: train it with "python tools/train.py {path}", name another with '
                'val_evaluator.judge.checkpoint, or train with --no-validate'
            )
        cfg = Config.fromfile(path)
        self.data = cfg.test_dataloader.dataset
        if data_root is not None:
            self.data.data_root = data_root
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            self.pipeline = Compose(self.data.pipeline)
            self.model = MODELS.build(dict(cfg.model, data_preprocessor=self._preprocessor(cfg))).eval()
        load_checkpoint(self.model, checkpoint, map_location='cpu', strict=True, logger='silent')
        linear = [layer for layer in self.model.head.modules() if isinstance(layer, nn.Linear)]
        if not linear:
            raise InputError(
                f'{path}: the head has no linear layer, whose input would be the features; use another judge'
            )
        self.last = linear[-1]

    @staticmethod
    def _preprocessor(cfg: Config) -> dict[str, Any]:
        return dict(type='ClsDataPreprocessor') | dict(cfg.data_preprocessor)

    @torch.no_grad()
    def look(self, pictures: Iterable[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Judge pictures.

        Args:
            pictures: (H, W) or (H, W, C) uint8, as its data set gives them.

        Returns:
            Features (N, D) and labels (N,).
        """
        features: list[Tensor] = []
        labels: list[Tensor] = []
        handle = self.last.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0].flatten(1)))
        items = [self.pipeline(dict(img=p, img_shape=p.shape[:2], ori_shape=p.shape[:2])) for p in pictures]
        try:
            for first in range(0, len(items), _BATCH):
                batch = self.model.data_preprocessor(pseudo_collate(items[first : first + _BATCH]))
                samples = self.model(batch['inputs'], batch['data_samples'], mode='predict')
                labels.append(torch.cat([sample.pred_label for sample in samples]))
        finally:
            handle.remove()
        return torch.cat(features), torch.cat(labels)

    def look_at_data(self, split: str) -> tuple[Tensor, Tensor, Tensor]:
        """Judge the pictures of a split of its data set: features, labels found, true labels."""
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            data = DATASETS.build(dict(self.data, split=split, pipeline=[]))
        infos = [data.get_data_info(index) for index in range(len(data))]
        features, labels = self.look(info['img'] for info in infos)
        return features, labels, torch.tensor([int(info['gt_label']) for info in infos])
