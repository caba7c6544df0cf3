"""Test facts of data sets: sizes as stored and as the model gets them, anchors against objects."""

import json

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import Config
from PIL import Image

from mmsparseswin.visualization.dataset_facts import anchor_facts, seen_facts, size_shares, stored_facts
from mmsparseswin.visualization.samples import Samples

LOAD = dict(type='mmsparseswin.LoadImageFromFile')
BOXES = dict(type='LoadAnnotations', with_bbox=True)
RESIZE = dict(type='Resize', scale=(100, 100), keep_ratio=True)
META = ('img_path', 'scale_factor', 'img_shape')


@pytest.fixture
def root(tmp_path):
    """Two pictures of 200 x 100, one object of 40 x 20 and a crowd on the first, none on the second."""
    for name in 'ab':
        Image.new('RGB', (200, 100), 'navy').save(tmp_path / f'{name}.png')
    common = dict(image_id=1, category_id=5, segmentation=[])
    content = dict(
        images=[dict(id=index, file_name=f'{name}.png', width=200, height=100) for index, name in enumerate('ab', 1)],
        annotations=[
            dict(common, id=1, bbox=[10, 10, 40, 20], area=800, iscrowd=0),
            dict(common, id=2, bbox=[90, 10, 100, 90], area=9000, iscrowd=1),
        ],
        categories=[dict(id=5, name='cat')],
    )
    (tmp_path / 'coco.json').write_text(json.dumps(content))
    return tmp_path


def _config(root, steps):
    dataset = dict(
        type='CocoDataset',
        data_root=str(root),
        ann_file='coco.json',
        metainfo=dict(classes=('cat',)),
        data_prefix=dict(img=''),
        pipeline=[LOAD, *steps, dict(type='PackDetInputs', meta_keys=META)],
    )
    return Config(dict(default_scope='mmdet', train_dataloader=dict(dataset=dataset)))


def test_stored_facts_leave_crowds_out_and_count_them(root):
    facts = stored_facts(str(root / 'coco.json'), ('cat',))
    assert facts.sizes.tolist() == [[200, 100], [200, 100]]
    assert facts.boxes.tolist() == [[40, 20]]
    assert facts.per_image.tolist() == [1, 0]
    assert facts.crowds == 1


@pytest.mark.parametrize('steps', [(BOXES, RESIZE), (RESIZE, BOXES)], ids=['training', 'test'])
def test_seen_facts_are_in_pixels_of_the_resized_picture(root, steps):
    """A test pipeline loads boxes after resizing and keeps them in pixels of the file."""
    facts = seen_facts(Samples(_config(root, steps), 'train'), 10, 0)
    assert facts.sizes.tolist() == [[100, 50], [100, 50]]
    np.testing.assert_allclose(facts.boxes, [[20, 10]])


def test_shares_of_sizes_follow_cocos_bounds():
    boxes = np.array([[31.9, 32], [32, 32], [95, 96], [96, 96.0]])
    assert size_shares(boxes) == (0.25, 0.5, 0.25)


def test_anchors_are_compared_by_shape():
    generator = dict(type='AnchorGenerator', scales=[4], ratios=[0.5, 1.0, 2.0], strides=[8, 16])
    cfg = Config(
        dict(
            model=dict(
                rpn_head=dict(anchor_generator=generator), train_cfg=dict(rpn=dict(assigner=dict(pos_iou_thr=0.7)))
            )
        )
    )
    boxes = np.array([[32.0, 32.0], [60.0, 70.0], [10.0, 100.0]])
    facts = anchor_facts(cfg, boxes)
    assert (facts.strides, facts.bound) == ([8, 16], 0.7)
    centred = torch.tensor(np.concatenate([-boxes / 2, boxes / 2], 1))
    shapes = np.concatenate(facts.shapes)
    overlaps = bbox_overlaps(centred, torch.tensor(np.concatenate([-shapes / 2, shapes / 2], 1)))
    np.testing.assert_allclose(facts.best, overlaps.max(1).values.numpy())
    assert facts.best[0] == pytest.approx(1.0)
    assert facts.level[:2].tolist() == [0, 1]
    assert anchor_facts(Config(dict(model=dict(bbox_head=dict(type='FCOSHead')))), boxes) is None
