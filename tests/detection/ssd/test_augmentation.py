"""Test that boxes follow their pixels, colours stay in their limits and the shipped pipelines run."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

ROOT = Path(__file__).parents[3]


def build(name: str, **kwargs):
    return TRANSFORMS.build(dict(type=f'mmsparseswin.{name}', **kwargs))


def picture(height=37, width=61, boxes=((10, 5, 30, 20), (22, 11, 40, 33))) -> dict:
    """Draw noise on which each box is one flat colour, so that a box can be checked against its pixels."""
    image = np.random.default_rng(0).integers(0, 100, (height, width, 3), dtype=np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2] = 200
    tensor = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return dict(
        img=image,
        img_shape=(height, width),
        gt_bboxes=HorizontalBoxes(tensor),
        gt_bboxes_labels=np.zeros(len(boxes), int),
        gt_ignore_flags=np.zeros(len(boxes), bool),
    )


def assert_boxes_hold_their_pixels(results: dict) -> None:
    height, width = results['img'].shape[:2]
    assert results['img_shape'] == (height, width)
    covered = np.zeros((height, width), bool)
    for x1, y1, x2, y2 in results['gt_bboxes'].tensor.int().tolist():
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        covered[y1:y2, x1:x2] = True
    assert np.array_equal(covered, (results['img'] == 200).all(2))


def test_a_crop_never_cuts_a_box():
    np.random.seed(0)
    crop = build('BoxSafeRandomCrop')
    shapes = set()
    for _ in range(30):
        results = crop(picture())
        assert_boxes_hold_their_pixels(results)
        shapes.add(results['img_shape'])
    assert len(shapes) > 20
    assert min(h for h, _ in shapes) >= 28  # rows 5 to 33 hold boxes
    assert max(w for _, w in shapes) > 50


def test_a_crop_without_boxes_leaves_the_image():
    assert build('BoxSafeRandomCrop')(picture(boxes=()))['img_shape'] == (37, 61)


def test_a_crop_leaves_pixels_when_a_box_lies_on_the_border_or_beyond():
    np.random.seed(0)
    crop = build('BoxSafeRandomCrop')
    for box in ((0, 0, 61, 37), (60.5, 36.5, 61, 37), (55, 30, 80, 50)):
        results = picture(boxes=())
        results['gt_bboxes'] = HorizontalBoxes(torch.tensor([box]))
        out = crop(results)
        assert min(out['img'].shape) > 0
        assert (out['gt_bboxes'].areas > 0).all()


@pytest.mark.parametrize(
    ('size', 'shape'), [((80, 50), (50, 80)), ((80, 20), (37, 80)), ((20, 50), (50, 61)), ((20, 20), (37, 61))]
)
def test_padding_centres_the_image_and_never_shrinks_it(size, shape):
    results = build('PadToAtLeast', size=size, fill=(1, 2, 3))(picture())
    assert results['img_shape'] == shape
    assert_boxes_hold_their_pixels(results)
    top, left = (shape[0] - 37) // 2, (shape[1] - 61) // 2
    assert np.array_equal(results['img'][top : top + 37, left : left + 61], picture()['img'])
    if shape != (37, 61):
        assert results['img'][-1, -1].tolist() == [1, 2, 3]


def test_brightness_and_contrast_stay_in_their_limits_and_clip():
    np.random.seed(0)
    change = build('RandomBrightnessContrast', brightness=0.2, contrast=0.2)
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, 2)
    seen = np.stack([change(dict(img=ramp))['img'][:, 0, 0] for _ in range(200)]).astype(int)
    assert (np.diff(seen, axis=1) >= 0).all()
    middle = seen[:, 100]
    assert 100 * 0.8 - 51 - 1 <= middle.min() < 60
    assert 140 < middle.max() <= 100 * 1.2 + 51
    assert seen.min() == 0
    assert seen.max() == 255


def test_a_colour_shift_moves_each_channel_by_its_own_amount():
    np.random.seed(0)
    shift = build('RandomColorShift', limits=(15, 0, 5))
    grey = np.full((1, 1, 3), 128, np.uint8)
    seen = np.stack([shift(dict(img=grey))['img'][0, 0] for _ in range(200)]).astype(int) - 128
    assert (np.abs(seen).max(0) <= (15, 0, 5)).all()
    assert len(np.unique(seen[:, 0])) > 20
    assert np.ptp(seen[:, 2]) >= 8


def test_hue_goes_round_and_grey_has_none():
    np.random.seed(0)
    shift = build('RandomColorShift', limits=(10, 0, 0), space='hsv')
    red = np.array([[[0, 0, 255]]], np.uint8)
    seen = [cv2.cvtColor(shift(dict(img=red))['img'], cv2.COLOR_BGR2HSV)[0, 0] for _ in range(100)]
    hues = {int(h) for h, _, _ in seen}
    assert all(h <= 10 or h >= 169 for h in hues)
    assert any(h > 100 for h in hues)
    assert any(0 < h <= 10 for h in hues)
    assert all((s, v) == (255, 255) for _, s, v in seen)
    grey = np.full((1, 1, 3), 77, np.uint8)
    assert np.array_equal(shift(dict(img=grey))['img'], grey)


@pytest.fixture
def coco(tmp_path) -> Path:
    """Write a picture with a box, one with a crowd besides and one without objects."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    (tmp_path / 'train2017').mkdir()
    for number, boxes in enumerate([[(20, 10, 60, 50, 0)], [(5, 5, 30, 30, 0), (0, 0, 90, 70, 1)], []]):
        name = f'{number}.jpg'
        Image.fromarray(rng.integers(0, 256, (75, 101, 3), dtype=np.uint8)).save(tmp_path / 'train2017' / name)
        images.append(dict(id=number, file_name=name, height=75, width=101))
        for x, y, w, h, crowd in boxes:
            box = dict(bbox=[x, y, w, h], area=w * h, iscrowd=crowd, category_id=1, image_id=number)
            annotations.append(dict(box, id=len(annotations) + 1, segmentation=[]))
    (tmp_path / 'annotations').mkdir()
    text = json.dumps(dict(images=images, annotations=annotations, categories=[dict(id=1, name='person')]))
    (tmp_path / 'annotations' / 'instances_train2017.json').write_text(text)
    return tmp_path


@pytest.mark.parametrize('size', [300, 336])
@pytest.mark.parametrize('kind', ['', 'repaired_'])
def test_the_pipelines_give_square_images_with_boxes_inside(coco, size, kind):
    init_default_scope('mmdet')
    np.random.seed(0)
    cfg = Config.fromfile(ROOT / f'configs/_base_/datasets/coco_ssd_{kind}{size}.py')
    settings = dict(cfg.train_dataloader.dataset, data_root=str(coco), metainfo=dict(classes=('person',)))
    dataset = DATASETS.build(settings)
    assert len(dataset) == 3  # the one without objects, too
    for _ in range(5):
        for index, (objects, crowds) in enumerate([(1, 0), (1, 1), (0, 0)]):
            sample = dataset[index]
            assert sample['inputs'].shape == (3, size, size)
            truth = sample['data_samples'].gt_instances
            assert len(truth) == objects
            assert len(sample['data_samples'].ignored_instances) == crowds
            if objects:
                boxes = truth.bboxes.tensor if hasattr(truth.bboxes, 'tensor') else truth.bboxes
                assert boxes.min() >= 0
                assert boxes.max() <= size
    scales = {
        t['scale'] for p in (cfg.train_dataloader, cfg.val_dataloader) for t in p.dataset.pipeline if 'scale' in t
    }
    assert scales == {(size, size)}
    canvas = cfg.train_dataloader.dataset.pipeline[3]
    assert canvas.type == ('Expand' if kind else 'RandomApply')
    if not kind:
        assert canvas.transforms.size == (1.5 * size, 1.5 * size)
