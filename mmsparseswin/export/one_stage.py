"""One-stage detectors with dense anchors, SSD and RetinaNet, as tensor operations from image to detections."""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import AnchorHead
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.detectors import SingleStageDetector
from torch import Tensor, nn

from mmsparseswin.detection.ssd.head import RelativeSSDHead, _to_pixels
from mmsparseswin.errors import InputError
from mmsparseswin.export.detection_ops import apart, check_coder, check_nms, decode, is_large, suppress
from mmsparseswin.export.valid_area import extract_maps


class OneStage(nn.Module):
    """A one-stage detector of mmdet for one image: what its ``predict`` does, with a size that is a tensor.

    Args:
        model: the detector.

    Attributes:
        suppresses: False gives the best candidates of each level before NMS.

    Raises:
        InputError: a head, a coder or a suppression that is not known exactly.
    """

    outputs = ('boxes', 'scores', 'labels')

    def __init__(self, model: SingleStageDetector) -> None:
        super().__init__()
        head, self.model, self.suppresses = model.bbox_head, model, True
        known = isinstance(head, AnchorHead) and type(head).predict_by_feat is BaseDenseHead.predict_by_feat
        of_ours = (BaseDenseHead._predict_by_feat_single, RelativeSSDHead._predict_by_feat_single)
        if not known or type(head)._predict_by_feat_single not in of_ours:
            raise InputError(f'{type(head).__name__} predicts in its own way: SSD and RetinaNet heads are exported')
        if getattr(head.loss_cls, 'custom_cls_channels', False):
            raise InputError(f'{type(head.loss_cls).__name__} has its own kind of scores: it is not exported')
        check_coder(head.bbox_coder, 'bbox_head.bbox_coder')
        cfg = head.test_cfg
        check_nms(cfg.nms, 'test_cfg.nms')
        if cfg.get('max_per_img', -1) < 1:
            raise InputError('test_cfg.max_per_img: give the largest number of detections')
        if cfg.get('min_bbox_size', -1) > 0:
            raise InputError(
                f'test_cfg.min_bbox_size={cfg.min_bbox_size} counts pixels of the picture before resizing, which a '
                'file does not know: set 0'
            )
        self.settings: dict[str, Any] = dict(
            score_thr=float(cfg.get('score_thr', 0)),
            iou_threshold=float(cfg.nms.iou_threshold),
            max_per_img=int(cfg.max_per_img),
            class_agnostic=bool(cfg.nms.get('class_agnostic', False)),
        )

    def forward(self, image: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        """Detect.

        Args:
            image: (1, 3, H, W), normalised, zero on padding.
            size: (2,) int64, height and width of the picture in its top left corner.

        Returns:
            Boxes (n, 4) x1, y1, x2, y2 in pixels of the image, scores (n,), labels (n,).
        """
        head = self.model.bbox_head
        scores, deltas = head(extract_maps(self.model, image, size))
        priors = priors_of(head, scores, image.shape[2:])
        levels = [rows_of(head, *level) for level in zip(scores, deltas, strict=True)]
        most = head.test_cfg.get('nms_pre', -1)
        pairs = [s.numel() for s, _ in levels]
        if self.suppresses and not self.settings['class_agnostic'] and (most < 1 or most >= max(map(int, pairs))):
            return self._by_class(priors, levels, size)
        found = [_best(head, p, *level, most, size) for p, level in zip(priors, levels, strict=True)]
        boxes, points, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
        points = torch.where(is_large(boxes, head.test_cfg.get('min_bbox_size', -1)), points, -1.0)
        if not self.suppresses:
            return boxes, points, labels
        s = self.settings
        moved = boxes if s['class_agnostic'] else apart(boxes, labels)
        _, kept = suppress(moved, points[None], s['iou_threshold'], s['score_thr'], s['max_per_img'])
        return boxes[kept], points[kept], labels[kept]

    def _by_class(self, priors: list[Tensor], levels: list[tuple[Tensor, Tensor]], size: Tensor) -> tuple[Tensor, ...]:
        """Every prior is a candidate of every class: each box is decoded once."""
        head, s = self.model.bbox_head, self.settings
        boxes = decode(head.bbox_coder, torch.cat(priors), torch.cat([d for _, d in levels]), size)
        large = is_large(boxes, head.test_cfg.get('min_bbox_size', -1))
        scores = torch.where(large[:, None], torch.cat([s for s, _ in levels]), -1.0).t()  # (classes, priors)
        labels, kept = suppress(boxes, scores, s['iou_threshold'], s['score_thr'], s['max_per_img'])
        return boxes[kept], scores[labels, kept], labels


def priors_of(head: Any, maps: Sequence[Tensor], shape: Sequence[int]) -> list[Tensor]:
    """Return the priors (n, 4) of each level in pixels, constants to a tracer."""
    sizes = [(int(one.shape[2]), int(one.shape[3])) for one in maps]
    priors = head.prior_generator.grid_priors(sizes, dtype=maps[0].dtype, device=maps[0].device)
    if isinstance(head, RelativeSSDHead):
        return _to_pixels(priors, dict(batch_input_shape=(int(shape[0]), int(shape[1]))))
    return priors


def rows_of(head: Any, scores: Tensor, deltas: Tensor) -> tuple[Tensor, Tensor]:
    """Maps of one level -> scores (n, classes) between 0 and 1, and deltas (n, 4)."""
    scores = scores[0].permute(1, 2, 0).reshape(-1, head.cls_out_channels)
    deltas = deltas[0].permute(1, 2, 0).reshape(-1, 4)
    return scores.sigmoid() if head.use_sigmoid_cls else scores.softmax(-1)[:, :-1], deltas


def _best(
    head: Any, priors: Tensor, scores: Tensor, deltas: Tensor, most: int, size: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return boxes, scores and labels of the ``most`` best pairs of prior and class of a level; below 1: of all."""
    pairs = scores.flatten()
    count, classes = int(pairs.numel()), int(scores.shape[1])
    if 0 < most < count:
        pairs, at = pairs.topk(most)
    else:
        at = torch.arange(count, device=pairs.device)
    rows, labels = at // classes, at % classes
    return decode(head.bbox_coder, priors[rows], deltas[rows], size), pairs, labels
