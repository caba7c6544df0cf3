"""Extend mmdet's RetinaNet head by SparseSwinDet's loss, an average over images instead of over the batch.

See docs/models/sparse_swin_det.md, 'Targets and losses'.
"""

from typing import Any

from mmdet.models.dense_heads import RetinaHead
from mmengine.structures import InstanceData
from torch import Tensor, stack

from mmsparseswin.detection.float32 import Float32Outputs
from mmsparseswin.errors import InputError
from mmsparseswin.registry import MODELS

_LOSS_PER = ('image', 'batch')


@MODELS.register_module()
class SparseSwinDetHead(Float32Outputs, RetinaHead):
    """mmdet's RetinaHead in float32, whose loss may be an average over images.

    bfloat16 would move a box of 384 pixels by one.

    Args:
        loss_per: 'image' divides the sums of each image by its own positives, and averages over the images of the
            batch, as published: one without objects counts as 0 and teaches nothing. 'batch' is mmdet's way: one
            average over the batch, in which every image teaches background.
        **kwargs: as for mmdet's RetinaHead.

    Raises:
        InputError: `loss_per` is unknown.
    """

    def __init__(self, *args: Any, loss_per: str = 'batch', **kwargs: Any) -> None:
        if loss_per not in _LOSS_PER:
            raise InputError(f'loss_per {loss_per!r} is unknown; choose one of {", ".join(_LOSS_PER)}')
        super().__init__(*args, **kwargs)
        self.loss_per = loss_per

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list[InstanceData] | None = None,
    ) -> dict[str, list[Tensor]]:
        """Return the losses of each level, see mmdet's AnchorHead."""
        if self.loss_per == 'batch':
            return super().loss_by_feat(
                cls_scores, bbox_preds, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore
            )
        images = []
        for i, (truth, meta) in enumerate(zip(batch_gt_instances, batch_img_metas, strict=True)):
            ignored = None if batch_gt_instances_ignore is None else batch_gt_instances_ignore[i : i + 1]
            one = ([level[i : i + 1] for level in levels] for levels in (cls_scores, bbox_preds))
            losses = super().loss_by_feat(*one, [truth], [meta], ignored)
            images.append({name: stack(levels) * (len(truth) > 0) for name, levels in losses.items()})
        return {name: list(stack([image[name] for image in images]).mean(0)) for name in images[0]}
