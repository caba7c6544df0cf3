"""Extend mmdet's SSD head by the published hard negatives and loss averages.

See docs/models/ssd.md, 'Matching, losses and prediction'.
"""

from collections.abc import Sequence
from typing import Any

from mmdet.models.dense_heads import SSDHead
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional as F

from mmsparseswin.errors import InputError
from mmsparseswin.registry import MODELS

_LOSS_PER = ('coordinate', 'box')


@MODELS.register_module()
class RelativeSSDHead(SSDHead):
    """mmdet's SSDHead for priors in units of the image (:class:`RelativeSSDAnchorGenerator`), in float32.

    Three things differ from mmdet's: priors stretch to the size of the batch at hand, so that any size trains and
    predicts; an image without positive priors still gives its `neg_pos_ratio` hardest negatives (mmdet: none, so it
    teaches nothing); the box loss may be a mean over coordinates. Background is the last class, as everywhere in mmdet,
    where the published code has it first: parameters and losses are the same.

    Args:
        in_channels: channels of each map, finest first.
        box_loss_per: 'coordinate' averages the box loss over the coordinates of the positive priors, as published;
            'box' divides their sum by the number of positive priors, as in the SSD paper: four times as much.
        **kwargs: as for mmdet's SSDHead.

    Raises:
        InputError: there are not as many maps as levels of priors, or `box_loss_per` is unknown.
    """

    def __init__(
        self, num_classes: int, in_channels: Sequence[int], *, box_loss_per: str = 'coordinate', **kwargs: Any
    ) -> None:
        if box_loss_per not in _LOSS_PER:
            raise InputError(f'box_loss_per {box_loss_per!r} is unknown; choose one of {", ".join(_LOSS_PER)}')
        super().__init__(num_classes, in_channels, **kwargs)
        if len(in_channels) != self.prior_generator.num_levels:
            raise InputError(
                f'in_channels names {len(in_channels)} maps, the anchor generator has priors for '
                f'{self.prior_generator.num_levels}; give one number per map'
            )
        self.box_loss_per = box_loss_per
        self.loss_cls = None  # mmdet's prediction reads it, but mmdet's SSDHead lacks it

    def forward(self, x: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return scores (B, priors * (classes + 1), H, W) and boxes (B, priors * 4, H, W) in float32.

        mmcv's NMS has no bfloat16 kernel, and a box of 336 pixels would be off by one.
        """
        if len(x) != len(self.in_channels):
            raise InputError(f'the SSD head takes {len(self.in_channels)} maps, not {len(x)}')
        scores, boxes = super().forward(x)
        return [s.float() for s in scores], [b.float() for b in boxes]

    def get_anchors(
        self, featmap_sizes: list[tuple[int, int]], batch_img_metas: list[dict], device: Any = 'cuda'
    ) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """Return the priors of each image and map in pixels, all of them valid."""
        anchors, valid = super().get_anchors(featmap_sizes, batch_img_metas, device)
        metas = zip(anchors, batch_img_metas, strict=True)
        return [_to_pixels(levels, meta) for levels, meta in metas], valid

    def _predict_by_feat_single(self, *, mlvl_priors: list[Tensor], img_meta: dict, **kwargs: Any) -> InstanceData:
        return super()._predict_by_feat_single(
            mlvl_priors=_to_pixels(mlvl_priors, img_meta), img_meta=img_meta, **kwargs
        )

    def get_targets(self, *args: Any, **kwargs: Any) -> tuple:
        """Return mmdet's targets; under 'coordinate' the box weights give a mean over 4 * positives, not a sum over N.

        N counts an image without positives as one, the mean does not.
        """
        labels, label_weights, targets, weights, avg_factor = super().get_targets(*args, **kwargs)
        if self.box_loss_per == 'coordinate':
            coordinates = sum(w.sum() for w in weights).clamp(min=1)
            weights = [w * (avg_factor / coordinates) for w in weights]
        return labels, label_weights, targets, weights, avg_factor

    def loss_by_feat_single(
        self,
        cls_score: Tensor,
        bbox_pred: Tensor,
        anchor: Tensor,
        labels: Tensor,
        label_weights: Tensor,
        *args,
        **kwargs,
    ) -> tuple[Tensor, Tensor]:
        """Return the losses of one image, (1,) and ()."""
        loss_cls, loss_bbox = super().loss_by_feat_single(
            cls_score, bbox_pred, anchor, labels, label_weights, *args, **kwargs
        )
        if (labels == self.num_classes).all():
            loss = F.cross_entropy(cls_score, labels, reduction='none') * label_weights
            hardest = loss.topk(min(self.train_cfg['neg_pos_ratio'], len(loss))).values
            loss_cls = loss_cls + hardest.sum() / kwargs['avg_factor']
        return loss_cls, loss_bbox


def _to_pixels(priors: list[Tensor], img_meta: dict) -> list[Tensor]:
    """Scale priors to the padded batch, which the maps cover."""
    height, width = img_meta['batch_input_shape'][:2]
    return [level * level.new_tensor((width, height, width, height)) for level in priors]
