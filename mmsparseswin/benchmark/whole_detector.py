"""Run a whole detector on noise: prediction with its post-processing, or the losses of a training step."""

import copy
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmsparseswin.benchmark.sizes import Size
from mmsparseswin.cli.config_tree import walk

_OBJECTS = 8  # per image; COCO has 7.3 on average


class WholeDetector(nn.Module):
    """Predict in eval mode and compute the losses in training mode, always from the same random numbers.

    Args:
        model: a detector of mmdet.
        size: of the images.
    """

    def __init__(self, model: nn.Module, size: Size) -> None:
        super().__init__()
        self.model: Any = model  # a detector of mmdet, whose methods nn.Module does not declare
        self.samples = [_sample(size, seed, getattr(model, 'with_mask', False)) for seed in range(size.batch)]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return boxes, scores and labels of normalised images (B, 3, H, W), or their summed losses (1,)."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # the heads' samplers draw boxes
            samples = [sample.to(x.device) for sample in copy.deepcopy(self.samples)]
            if self.training:
                losses = self.model.loss(x, samples)
                parts = [part for name, loss in losses.items() if 'loss' in name for part in _tensors(loss)]
                return [torch.stack([part.mean() for part in parts]).sum()[None]]
            found = [sample.pred_instances for sample in self.model.predict(x, samples)]
        return [tensor for each in found for tensor in (each.bboxes, each.scores, each.labels)]


def accept_all_scores(model: ConfigDict) -> None:
    """Set every score_thr in a model's config to 0: untrained heads then return as many boxes as a test allows."""
    for _, node in walk('model', model):
        if isinstance(node, dict) and 'score_thr' in node:
            node['score_thr'] = 0.0


def _tensors(loss: Tensor | list[Tensor]) -> list[Tensor]:
    return loss if isinstance(loss, list) else [loss]


def _sample(size: Size, seed: int, masks: bool) -> DetDataSample:
    """Draw the objects of an image: boxes of 16 to 300 pixels, their masks filled."""
    shape = (size.height, size.width)
    info = dict(img_id=seed, img_shape=shape, ori_shape=shape, pad_shape=shape, batch_input_shape=shape)
    sample = DetDataSample(metainfo=dict(info, scale_factor=(1.0, 1.0)))
    generator = torch.Generator().manual_seed(seed)
    sides = torch.rand(_OBJECTS, 2, generator=generator) * 284 + 16
    extent = torch.tensor([size.width, size.height], dtype=torch.float32)
    start = torch.rand(_OBJECTS, 2, generator=generator) * (extent - sides).clamp(min=0)
    boxes = torch.cat((start, torch.minimum(start + sides, extent)), 1)
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(_OBJECTS, dtype=torch.long))
    if masks:
        filled = torch.zeros(_OBJECTS, *shape, dtype=torch.uint8)
        for mask, (left, top, right, bottom) in zip(filled, boxes.long().tolist(), strict=True):
            mask[top:bottom, left:right] = 1
        sample.gt_instances.masks = BitmapMasks(filled.numpy(), *shape)
    return sample
