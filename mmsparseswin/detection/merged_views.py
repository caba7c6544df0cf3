"""Merge what a detector finds in several views of a picture: boxes and masks."""

import torch
from mmcv.ops import batched_nms
from mmdet.models.test_time_augs import DetTTAModel
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmsparseswin.registry import MODELS

_AXES = {'horizontal': (-1,), 'vertical': (-2,), 'diagonal': (-2, -1)}  # of a mask (N, H, W), by direction of the flip


@MODELS.register_module()
class MaskTTAModel(DetTTAModel):
    """mmdet's DetTTAModel, which refuses masks, with masks: a box that is kept keeps the mask of its view.

    Args:
        tta_cfg: `nms` and `max_per_img` of the merged boxes.
        module: the detector.
    """

    def test_step(self, data: dict[str, list]) -> list[DetDataSample]:
        """Return what is found in a batch of pictures.

        Args:
            data: `inputs` and `data_samples`: a list per view of a list per picture.
        """
        views = data['data_samples']
        turned = [[bool(sample.metainfo.get('flip')) for sample in view] for view in views]
        found = []
        for index, view in enumerate(views):
            for sample in view:
                sample.set_metainfo(dict(flip=False))  # mmdet's cascades turn their masks back, which fails
            found.append(self.module.test_step({name: value[index] for name, value in data.items()}))
        for samples, flips in zip(found, turned, strict=True):
            for sample, flip in zip(samples, flips, strict=True):
                sample.set_metainfo(dict(flip=flip))
        return self.merge_preds(list(zip(*found, strict=True)))

    def _merge_single_sample(self, data_samples: list[DetDataSample]) -> DetDataSample:
        """Return the first of the samples, one per view of a picture, with the predictions of all."""
        found = [sample.pred_instances for sample in data_samples]
        views = [sample.metainfo for sample in data_samples]
        boxes, scores = self.merge_aug_bboxes([one.bboxes for one in found], [one.scores for one in found], views)
        merged = data_samples[0]
        if not len(boxes):
            return merged
        labels = torch.cat([one.labels for one in found])
        kept, indices = batched_nms(boxes, scores, labels, self.tta_cfg.nms)
        kept, indices = kept[: self.tta_cfg.max_per_img], indices[: self.tta_cfg.max_per_img]
        result = InstanceData(bboxes=kept[:, :-1], scores=kept[:, -1], labels=labels[indices])
        if all('masks' in one for one in found):
            masks = [_upright(one.masks, view) for one, view in zip(found, views, strict=True)]
            result.masks = torch.cat(masks)[indices]
        merged.pred_instances = result
        return merged


def _upright(masks: torch.Tensor, view: dict) -> torch.Tensor:
    """Turn masks (N, H, W) of a flipped view back."""
    return masks.flip(_AXES[view['flip_direction']]) if view['flip'] else masks
