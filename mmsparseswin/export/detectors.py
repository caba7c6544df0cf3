"""Detectors of mmdet as programs of tensors: which kind a model is, how it pads, and what mmdet finds with it."""

import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.models.detectors import (
    CascadeRCNN,
    FasterRCNN,
    MaskRCNN,
    RetinaNet,
    SingleStageDetector,
    TwoStageDetector,
)
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from mmsparseswin.detection.sparse_swin_det.detector import SparseSwinDet
from mmsparseswin.detection.valid_area import ValidAreaDetDataPreprocessor
from mmsparseswin.errors import InputError
from mmsparseswin.export.one_stage import OneStage
from mmsparseswin.export.two_stage import TwoStage
from mmsparseswin.export.valid_area import knows_area


class Program(Protocol):
    """A detector for one image as operations of tensors: a module (image, size) -> ``outputs``."""

    model: nn.Module

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""

    settings: dict[str, Any]


def program(model: nn.Module) -> Program:
    """Return the program of a detector.

    Raises:
        InputError: a detector that is not known.
    """
    if type(model) in (SingleStageDetector, RetinaNet, SparseSwinDet):
        return OneStage(model)
    if type(model) in (TwoStageDetector, FasterRCNN, MaskRCNN, CascadeRCNN):
        return TwoStage(model)
    raise InputError(
        f'{type(model).__name__} is not exported whole: SSD, RetinaNet, SparseSwinDet, (Cascade, Mask) R-CNN are; '
        '--backbone exports its backbone'
    )


def padding_of(model: Any) -> dict[str, Any]:
    """Return how the detector's preprocessor pads, see :class:`mmsparseswin.export.subjects.Subject`.

    Raises:
        InputError: another preprocessor than mmdet's or ours.
    """
    step = model.data_preprocessor
    if type(step) not in (DetDataPreprocessor, ValidAreaDetDataPreprocessor):
        raise InputError(f'data_preprocessor {type(step).__name__} is not known: use DetDataPreprocessor')
    seen = type(step) is DetDataPreprocessor
    return dict(divisor=int(step.pad_size_divisor), value=float(step.pad_value), seen=seen, left_out=knows_area(model))


def mmdet_finds(model: Any, image: Tensor, size: Sequence[int]) -> list[np.ndarray]:
    """Return boxes, scores, labels and probabilities of masks that mmdet's own ``predict`` finds on a picture.

    Args:
        model: the detector.
        image: (1, 3, H, W), normalised and padded.
        size: height and width of the picture in its top left corner.
    """
    shape = tuple(image.shape[2:])
    if type(model.data_preprocessor) is ValidAreaDetDataPreprocessor:
        valid = image.new_zeros(1, 1, *shape)
        valid[..., : size[0], : size[1]] = 1
        image = torch.cat((image, valid), 1)
    meta = dict(img_shape=tuple(size), ori_shape=tuple(size), scale_factor=(1.0, 1.0))
    sample = DetDataSample(metainfo=dict(meta, pad_shape=shape, batch_input_shape=shape))
    heads = getattr(getattr(model, 'roi_head', None), 'mask_head', None)
    heads = list(heads) if isinstance(heads, nn.ModuleList) else [heads] if heads is not None else []
    masks: list[Tensor] = []  # mmdet pastes them into the picture; they are caught before
    hooks = [head.register_forward_hook(lambda _, __, out: masks.append(out.sigmoid())) for head in heads]
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # mmdet copies its own masks
            found = model.predict(image, [sample], rescale=True)[0].pred_instances
    finally:
        for hook in hooks:
            hook.remove()
    rows = [found.bboxes.numpy(), found.scores.numpy(), found.labels.numpy()]
    if not heads:
        return rows
    if not masks:
        return [*rows, np.zeros((0, 1, 1), np.float32)]
    mean = torch.stack(masks).mean(0)
    chosen = mean[:, 0] if heads[-1].class_agnostic else mean[torch.arange(len(mean)), found.labels]
    return [*rows, chosen.numpy()]
