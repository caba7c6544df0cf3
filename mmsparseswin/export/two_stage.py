"""Two-stage detectors, (Cascade) R-CNN with or without masks, as tensor operations from image to detections."""

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.ops import RoIAlign
from mmdet.models.dense_heads import RPNHead
from mmdet.models.detectors import TwoStageDetector
from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead
from mmdet.models.roi_heads.bbox_heads import BBoxHead, ConvFCBBoxHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor, nn

from mmsparseswin.errors import InputError
from mmsparseswin.export.detection_ops import apart, check_coder, check_nms, decode, is_large, roi_align, suppress
from mmsparseswin.export.one_stage import priors_of, rows_of
from mmsparseswin.export.valid_area import extract_maps

_NONE = -1.0  # score of a row that stands for nothing; all others lie between 0 and 1


class TwoStage(nn.Module):
    """A two-stage detector of mmdet for one image: what its ``predict`` does, with a size that is a tensor.

    The second stage always runs on ``rpn.max_per_img`` proposals; where the first found fewer, the rest are copies
    that cannot be detected.

    Args:
        model: the detector.

    Raises:
        InputError: a part that is not known exactly; the message names it.
    """

    def __init__(self, model: TwoStageDetector) -> None:
        super().__init__()
        rpn, roi, self.model = model.rpn_head, model.roi_head, model
        if not isinstance(rpn, RPNHead) or type(rpn)._predict_by_feat_single is not RPNHead._predict_by_feat_single:
            raise InputError(f'rpn_head {type(rpn).__name__} is not exported: RPNHead is')
        if not isinstance(roi, (StandardRoIHead, CascadeRoIHead)) or getattr(roi, 'with_shared_head', False):
            raise InputError(f'roi_head {type(roi).__name__} is not exported: StandardRoIHead and CascadeRoIHead are')
        self.cascade = isinstance(roi, CascadeRoIHead)
        self.box_heads, self.box_pools = _list(roi.bbox_head), _list(roi.bbox_roi_extractor)
        self.mask_heads = _list(roi.mask_head) if roi.with_mask else []
        self.mask_pools = _list(roi.mask_roi_extractor) if roi.with_mask else []
        for pool in [*self.box_pools, *self.mask_pools]:
            _check_pool(pool)
        for head in self.box_heads:
            _check_box_head(head)
        for head in self.mask_heads:
            if not isinstance(head, FCNMaskHead) or type(head).forward is not FCNMaskHead.forward:
                raise InputError(f'mask_head {type(head).__name__} is not exported: FCNMaskHead is')
        check_coder(rpn.bbox_coder, 'rpn_head.bbox_coder')
        check_nms(rpn.test_cfg.nms, 'test_cfg.rpn.nms')
        check_nms(roi.test_cfg.nms, 'test_cfg.rcnn.nms')
        if min(rpn.test_cfg.get('max_per_img', -1), roi.test_cfg.get('max_per_img', -1)) < 1:
            raise InputError('test_cfg: give the largest number of proposals and detections, max_per_img')
        self.proposals = int(rpn.test_cfg.max_per_img)
        self.settings: dict[str, Any] = dict(
            proposals=self.proposals,
            score_thr=float(roi.test_cfg.score_thr),
            iou_threshold=float(roi.test_cfg.nms.iou_threshold),
            max_per_img=int(roi.test_cfg.max_per_img),
            class_agnostic=bool(roi.test_cfg.nms.get('class_agnostic', False)),
        )
        self.outputs: tuple[str, ...] = ('boxes', 'scores', 'labels')
        if self.mask_heads:
            self.outputs = (*self.outputs, 'masks')
            self.settings['mask_threshold'] = float(roi.test_cfg.mask_thr_binary)
            if self.settings['mask_threshold'] < 0:
                raise InputError('test_cfg.rcnn.mask_thr_binary: give a probability from 0 to 1')

    def forward(self, image: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        """Detect.

        Args:
            image: (1, 3, H, W), normalised, zero on padding.
            size: (2,) int64, height and width of the picture in its top left corner.

        Returns:
            Boxes (n, 4) x1, y1, x2, y2 in pixels of the image, scores (n,), labels (n,), and with a mask head the
            probabilities of each box's pixels (n, h, w).
        """
        maps = extract_maps(self.model, image, size)
        boxes, found = self._propose(maps, size)
        rounds = []
        for stage, (pool, head) in enumerate(zip(self.box_pools, self.box_heads, strict=True)):
            scores, deltas = head(_pool(pool, maps, boxes))
            rounds.append(scores)
            if stage < len(self.box_heads) - 1:
                deltas = deltas if head.reg_class_agnostic else _of_class(deltas, scores[:, :-1].argmax(1))
                boxes = decode(head.bbox_coder, boxes, deltas, size)
        mean = rounds[0] if len(rounds) == 1 else sum(rounds) / float(len(rounds))
        points = torch.where(found[:, None], mean.softmax(1)[:, :-1], _NONE)  # (proposals, classes)
        boxes, points, labels = self._choose(boxes, points, deltas, size)
        if not self.mask_heads:
            return boxes, points, labels
        return boxes, points, labels, self._masks(maps, boxes, labels)

    def _propose(self, maps: Sequence[Tensor], size: Tensor) -> tuple[Tensor, Tensor]:
        """Return the proposals (n, 4), always as many, and which of them are no copies: (n,) bool."""
        head = self.model.rpn_head
        cfg = head.test_cfg
        found = []
        scores, deltas = head(maps)
        for number, (each, moves, priors) in enumerate(
            zip(scores, deltas, priors_of(head, scores, (0, 0)), strict=True)
        ):
            points, moves = rows_of(head, each, moves)
            points, count = points[:, 0], int(points.shape[0])
            if 0 < cfg.get('nms_pre', -1) < count:
                points, at = points.topk(cfg.nms_pre)
                moves, priors = moves[at], priors[at]
            boxes = decode(head.bbox_coder, priors, moves, size)
            found.append((boxes, points, torch.full_like(points, number)))
        boxes, points, levels = (torch.cat(parts) for parts in zip(*found, strict=True))
        points = torch.where(is_large(boxes, cfg.get('min_bbox_size', -1)), points, _NONE)
        moved = boxes if cfg.nms.get('class_agnostic', False) else apart(boxes, levels)
        _, kept = suppress(moved, points[None], float(cfg.nms.iou_threshold), _NONE / 2, self.proposals)
        places = torch.arange(self.proposals, device=boxes.device)
        rows = torch.cat((kept, torch.zeros_like(places)))[: self.proposals]
        return boxes[rows], places < kept.shape[0]

    def _choose(self, rois: Tensor, points: Tensor, deltas: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes of the last head, and NMS: boxes (n, 4), scores (n,) and labels (n,)."""
        head, s = self.box_heads[-1], self.settings
        classes = int(points.shape[1])
        limits = (s['iou_threshold'], s['score_thr'], s['max_per_img'])
        if head.reg_class_agnostic and not s['class_agnostic']:
            boxes, scores = decode(head.bbox_coder, rois, deltas, size), points.t()
            labels, kept = suppress(boxes, scores, *limits)
            return boxes[kept], scores[labels, kept], labels
        each = 1 if head.reg_class_agnostic else classes
        repeated = rois[:, None].expand(-1, each, -1).reshape(-1, 4)
        boxes = decode(head.bbox_coder, repeated, deltas.reshape(-1, 4), size).view(-1, each, 4)
        boxes, flat = boxes.expand(-1, classes, -1).reshape(-1, 4), points.flatten()
        labels = torch.arange(int(flat.shape[0]), device=flat.device) % classes
        _, kept = suppress(boxes if s['class_agnostic'] else apart(boxes, labels), flat[None], *limits)
        return boxes[kept], flat[kept], labels[kept]

    def _masks(self, maps: Sequence[Tensor], boxes: Tensor, labels: Tensor) -> Tensor:
        # One box more, so that no layer gets none.
        boxes, labels = torch.cat((boxes, boxes.new_zeros(1, 4))), torch.cat((labels, labels.new_zeros(1)))
        found, pooled = [], dict[str, Tensor]()
        for pool, head in zip(self.mask_pools, self.mask_heads, strict=True):
            if str(pool) not in pooled:  # extractors have no weights: equal ones give equal features
                pooled[str(pool)] = _pool(pool, maps, boxes)
            found.append(head(pooled[str(pool)]).sigmoid())
        mean = found[0] if len(found) == 1 else sum(found) / len(found)
        rows = torch.arange(labels.shape[0], device=labels.device)
        chosen = mean[:, 0] if self.mask_heads[-1].class_agnostic else mean[rows, labels]
        return chosen[:-1]


def _list(modules: Any) -> list[Any]:
    return list(modules) if isinstance(modules, nn.ModuleList) else [modules]


def _check_pool(pool: Any) -> None:
    known = isinstance(pool, SingleRoIExtractor) and type(pool).map_roi_levels is SingleRoIExtractor.map_roi_levels
    if not known or any(type(one) is not RoIAlign or one.pool_mode != 'avg' for one in pool.roi_layers):
        raise InputError(f'roi_extractor {type(pool).__name__} is not exported: SingleRoIExtractor with RoIAlign is')


def _check_box_head(head: Any) -> None:
    known = isinstance(head, ConvFCBBoxHead) and type(head)._predict_by_feat_single is BBoxHead._predict_by_feat_single
    if not known or not head.with_reg or head.custom_cls_channels or head.custom_activation:
        raise InputError(f'bbox_head {type(head).__name__} is not exported: Shared2FC and other ConvFCBBoxHeads are')
    check_coder(head.bbox_coder, 'bbox_head.bbox_coder')


def _of_class(deltas: Tensor, labels: Tensor) -> Tensor:
    """Deltas (n, 4 * classes) -> those of each row's class, (n, 4)."""
    return deltas.gather(1, labels[:, None] * 4 + torch.arange(4, device=deltas.device))


def _pool(pool: Any, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """Pool each box (n, 4) from the map of its size: (n, C, height, width).

    Each map pools its own boxes and one more, so that none gets no box; they return to their order by their numbers.
    """
    rois = torch.cat((torch.zeros_like(boxes[:, :1]), boxes), 1)
    levels = pool.map_roi_levels(rois, len(pool.roi_layers))
    parts, numbers = [], []
    extra = torch.zeros_like(boxes[:1])
    for level, layer in enumerate(pool.roi_layers):
        at = (levels == level).nonzero().flatten()
        parts.append(roi_align(maps[level], torch.cat((boxes[at], extra)), layer))
        numbers.append(torch.cat((at, boxes.shape[0] + level + torch.zeros_like(levels[:1]))))
    order = torch.cat(numbers).sort()[1][: boxes.shape[0]]
    return torch.cat(parts)[order]
