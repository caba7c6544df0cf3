"""Test-time augmentation of detectors: boxes and masks of flipped views are merged into the picture's own."""

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import nn

from mmsparseswin.detection.merged_views import MaskTTAModel

HEIGHT, WIDTH = 21, 33
DIRECTIONS = [None, 'horizontal', 'vertical', 'diagonal']


class Found(nn.Module):
    """Stands for a detector whose predictions are its data samples."""

    def test_step(self, data):
        assert not any(sample.flip for sample in data['data_samples'])  # cascades of mmdet turn masks of such back
        return data['data_samples']


def view(masks, scores, labels, direction):
    """The predictions of one view of a picture that has these masks (N, H, W)."""
    axes = {None: (), 'horizontal': (2,), 'vertical': (1,), 'diagonal': (1, 2)}[direction]
    masks = masks.flip(axes)
    boxes = []
    for mask in masks:
        y, x = torch.nonzero(mask, as_tuple=True)
        boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
    sample = DetDataSample(metainfo=dict(ori_shape=(HEIGHT, WIDTH), flip=bool(direction), flip_direction=direction))
    sample.pred_instances = InstanceData(
        bboxes=torch.tensor(boxes).float().reshape(-1, 4), scores=scores, labels=labels, masks=masks
    )
    return sample


def masks_at(*places):
    """L-shaped masks, which no flip maps to themselves, at (x, y)."""
    masks = torch.zeros(len(places), HEIGHT, WIDTH, dtype=torch.bool)
    for mask, (x, y) in zip(masks, places, strict=True):
        mask[y : y + 8, x : x + 2] = True
        mask[y + 6 : y + 8, x : x + 5] = True
    return masks


@pytest.fixture
def model():
    return MaskTTAModel(module=Found(), tta_cfg=ConfigDict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=3))


@pytest.mark.parametrize('direction', DIRECTIONS)
def test_boxes_and_masks_of_a_flipped_view_come_back_upright(model, direction):
    one, other = masks_at((3, 2)), masks_at((3, 2), (20, 9))
    views = [
        [view(one, torch.tensor([0.5]), torch.tensor([1]), None)],
        [view(other, torch.tensor([0.9, 0.7]), torch.tensor([1, 0]), direction)],
    ]
    (merged,) = model.test_step(dict(data_samples=views))
    found = merged.pred_instances
    assert found.labels.tolist() == [1, 0]
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])  # the double with the lower score is gone
    assert torch.equal(found.masks, other)
    assert found.bboxes.tolist() == [[3, 2, 8, 10], [20, 9, 25, 17]]


def test_each_kept_box_has_the_mask_of_its_own_view_and_no_more_are_kept_than_asked_for(model):
    left, right = masks_at((1, 1), (14, 1)), masks_at((27, 12), (14, 12))
    scores = torch.tensor([0.9, 0.2]), torch.tensor([0.8, 0.7])
    label = torch.tensor([0, 0])
    views = [view(left, scores[0], label, 'horizontal'), view(right, scores[1], label, None)]
    (merged,) = model.test_step(dict(data_samples=[[one] for one in views]))
    found = merged.pred_instances
    assert found.scores.tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert torch.equal(found.masks, torch.cat([left[:1], right]))


def test_nothing_found_stays_nothing(model):
    nothing = view(masks_at(), torch.zeros(0), torch.zeros(0, dtype=torch.long), 'horizontal')
    (merged,) = model.test_step(dict(data_samples=[[nothing], [nothing.clone()]]))
    assert len(merged.pred_instances) == 0


def test_detectors_without_masks_are_merged_too(model):
    views = [view(masks_at((3, 2)), torch.tensor([0.5]), torch.tensor([1]), way) for way in (None, 'vertical')]
    for one in views:
        del one.pred_instances.masks
    (merged,) = model.test_step(dict(data_samples=[[one] for one in views]))
    assert merged.pred_instances.bboxes.tolist() == [[3, 2, 8, 10]]
    assert 'masks' not in merged.pred_instances
