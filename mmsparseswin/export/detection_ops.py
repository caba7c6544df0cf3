"""Operators of detectors that PyTorch's tracer cannot write: NMS and RoIAlign, each as one operator of ONNX."""

from collections.abc import Sequence
from typing import Any

import torch
import torchvision
from mmdet.models.task_modules.coders.delta_xywh_bbox_coder import delta2bbox
from torch import Tensor

from mmsparseswin.errors import InputError
from mmsparseswin.mmcv_ops.suppression import nms

_NMS_KEYS = {'type', 'iou_threshold', 'class_agnostic', 'split_thr', 'max_num', 'score_threshold'}


def check_nms(cfg: Any, where: str) -> None:
    """Refuse a suppression that ONNX's NonMaxSuppression does not compute.

    Args:
        cfg: mmdet's ``nms``.
        where: its place in the config.

    Raises:
        InputError: soft NMS, or an option beyond the threshold and the classes.
    """
    if cfg is None or cfg.get('type', 'nms') != 'nms' or not set(cfg) <= _NMS_KEYS or 'iou_threshold' not in cfg:
        raise InputError(
            f'{where} is {dict(cfg or {})}: only plain nms with an iou_threshold can be exported, as ONNX has no other'
        )
    if cfg.get('max_num', -1) > 0 or cfg.get('score_threshold', 0) > 0:
        raise InputError(f'{where}: max_num and score_threshold are not exported; use max_per_img and score_thr')


def check_coder(coder: Any, where: str) -> None:
    """Refuse a coder of boxes other than mmdet's DeltaXYWHBBoxCoder.

    Raises:
        InputError: another one.
    """
    from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder

    if type(coder) is not DeltaXYWHBBoxCoder:
        raise InputError(f'{where} is a {type(coder).__name__}: only DeltaXYWHBBoxCoder is exported')


def decode(coder: Any, boxes: Tensor, deltas: Tensor, size: Tensor) -> Tensor:
    """Move boxes (n, 4) by deltas (n, 4) as the coder does, inside a picture of ``size`` (height, width)."""
    found = delta2bbox(
        boxes,
        deltas,
        coder.means,
        coder.stds,
        clip_border=False,  # with sizes that are tensors mmdet's own clipping is not traced
        add_ctr_clamp=coder.add_ctr_clamp,
        ctr_clamp=coder.ctr_clamp,
    )
    if not coder.clip_border:
        return found
    return torch.minimum(found.clamp(min=0), size[[1, 0, 1, 0]].to(found.dtype))


def is_large(boxes: Tensor, least: float) -> Tensor:
    """Return where boxes (n, 4) are wider and higher than ``least``: (n,) bool; below 0 every box is."""
    if least < 0:
        return torch.ones_like(boxes[:, 0], dtype=torch.bool)
    sides = boxes[:, 2:] - boxes[:, :2]
    return (sides > least).all(1)


def apart(boxes: Tensor, groups: Tensor) -> Tensor:
    """Move boxes (n, 4) of different groups (n,) so far apart that none overlap, as mmcv's batched_nms does."""
    return boxes + (groups.to(boxes.dtype) * (boxes.max() + 1))[:, None]


def suppress(boxes: Tensor, scores: Tensor, iou: float, lowest: float, most: int) -> tuple[Tensor, Tensor]:
    """Suppress, within each row of ``scores``, boxes that overlap a better one: ONNX's NonMaxSuppression.

    Args:
        boxes: (n, 4), shared by the rows.
        scores: (rows, n).
        iou: a box goes if it overlaps a better one by more.
        lowest: only scores above it are looked at.
        most: boxes that are kept of each row.

    Returns:
        Rows and numbers of the boxes that stay, (k,) each, the best score first, ``most`` of them altogether.
    """
    kept = _Suppress.apply(boxes, scores, iou, lowest, most)
    rows, places = kept[:, 0], kept[:, 1]
    order = scores[rows, places].sort(descending=True)[1][:most]
    return rows[order], places[order]


class _Suppress(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, boxes: Tensor, scores: Tensor, iou: float, lowest: float, most: int) -> Tensor:
        found = []
        for row, each in enumerate(scores):
            at = (each > lowest).nonzero().flatten()
            kept = at[nms(boxes[at], each[at], iou, 0)][:most]
            found.append(torch.stack((torch.full_like(kept, row), kept), 1))
        return torch.cat(found)

    @staticmethod
    def symbolic(g: Any, boxes: Any, scores: Any, iou: float, lowest: float, most: int) -> Any:
        zero = g.op('Constant', value_t=torch.tensor([0]))
        found = g.op(
            'NonMaxSuppression',
            g.op('Unsqueeze', boxes, zero),
            g.op('Unsqueeze', scores, zero),
            g.op('Constant', value_t=torch.tensor([most])),
            g.op('Constant', value_t=torch.tensor([iou], dtype=torch.float32)),
            g.op('Constant', value_t=torch.tensor([lowest], dtype=torch.float32)),
        )  # (k, 3): image, row, box
        columns = g.op('Constant', value_t=torch.tensor([1, 2]))
        return g.op('Gather', found, columns, axis_i=1)


def roi_align(features: Tensor, boxes: Tensor, layer: Any) -> Tensor:
    """Pool a map (1, C, H, W) in boxes (n, 4) as the RoIAlign ``layer`` of mmcv does: (n, C, height, width)."""
    return _RoIAlign.apply(
        features, boxes, layer.output_size, layer.spatial_scale, max(layer.sampling_ratio, 0), layer.aligned
    )


class _RoIAlign(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, boxes: Tensor, size: Sequence[int], scale: float, ratio: int, aligned: bool
    ) -> Tensor:
        rois = torch.cat((boxes.new_zeros(len(boxes), 1), boxes), 1)
        return torchvision.ops.roi_align(features, rois, size, scale, ratio, aligned)

    @staticmethod
    def symbolic(
        g: Any, features: Any, boxes: Any, size: Sequence[int], scale: float, ratio: int, aligned: bool
    ) -> Any:
        count = g.op('Gather', g.op('Shape', boxes), g.op('Constant', value_t=torch.tensor([0])), axis_i=0)
        images = g.op('ConstantOfShape', count, value_t=torch.tensor([0]))
        return g.op(
            'RoiAlign',
            features,
            boxes,
            images,
            output_height_i=size[0],
            output_width_i=size[1],
            sampling_ratio_i=ratio,
            spatial_scale_f=scale,
            coordinate_transformation_mode_s='half_pixel' if aligned else 'output_half_pixel',
            mode_s='avg',
        )
