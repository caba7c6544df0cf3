"""Test the check of wrapped data sets, metrics and warnings."""

import copy
import json
from pathlib import Path

import pytest
from mmengine.config import Config

from mmsparseswin.detection.data_check.datasets import check_config
from mmsparseswin.errors import InputError

IMAGES = [
    {'id': 7, 'file_name': 'a.jpg', 'width': 40, 'height': 30},
    {'id': 9, 'file_name': 'in/b.jpg', 'width': 8, 'height': 9},
]
BOX = {'id': 1, 'image_id': 7, 'category_id': 3, 'bbox': [1, 2, 10, 10], 'area': 100}


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / 'images' / 'in').mkdir(parents=True)
    for image in IMAGES:
        (tmp_path / 'images' / image['file_name']).touch()
    write(tmp_path)
    return tmp_path


def write(root: Path, name: str = 'a.json', **changes) -> None:
    content = dict(images=IMAGES, annotations=[BOX], categories=[{'id': 3, 'name': 'disc'}, {'id': 4, 'name': 'star'}])
    (root / name).write_text(json.dumps(copy.deepcopy(content) | changes))


def leaf(root: Path, **changes) -> dict:
    metainfo = dict(classes=('disc', 'star'))
    return (
        dict(
            type='CocoDataset',
            data_root=str(root),
            ann_file='a.json',
            data_prefix=dict(img='images'),
            metainfo=metainfo,
        )
        | changes
    )


def check(dataset: dict, **top) -> list:
    return check_config(Config(dict(default_scope='mmdet', train_dataloader=dict(dataset=dataset), **top)))


def test_a_good_set_passes_through_every_wrapper(root):
    other = leaf(root, data_prefix=dict(img='images/'))
    wrapped = dict(
        type='ConcatDataset',
        datasets=[
            dict(type='RepeatDataset', times=2, dataset=leaf(root)),
            dict(type='ClassBalancedDataset', dataset=dict(type='MultiImageMixDataset', dataset=other)),
        ],
    )
    options = [coco.option for coco in check(wrapped)]
    assert options == [
        'train_dataloader.dataset.datasets.0.dataset',
        'train_dataloader.dataset.datasets.1.dataset.dataset',
    ]
    wrapped['datasets'][1]['dataset']['dataset']['ann_file'] = 'none.json'
    with pytest.raises(InputError, match=r'dataset\.datasets\.1\.dataset\.dataset: no annotation file'):
        check(wrapped)


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (dict(images=[IMAGES[0], IMAGES[0]]), 'images share the ids 7'),
        (dict(annotations=[BOX, BOX]), 'annotations share the ids 1'),
        (dict(annotations=[{**BOX, 'category_id': 5}]), 'have categories it does not list'),
        (dict(annotations=[{**BOX, 'bbox': [1, 2, 3]}]), r'are not \[x, y, w, h\]'),
        (dict(annotations=[{'id': 1, 'image_id': 7}]), 'entry 1 has no category_id and no bbox and no area'),
        (dict(images=[]), 'lists no images'),
        (
            dict(images=[*IMAGES, {**IMAGES[0], 'id': 1, 'file_name': 'in/none.jpg'}]),
            r'1 of the 3 images .* in/none\.jpg',
        ),
    ],
)
def test_each_flaw_is_named(root, changes, words):
    write(root, **changes)
    with pytest.raises(InputError, match=words):
        check(leaf(root))


def test_without_metainfo_the_80_classes_of_coco_are_expected(root):
    with pytest.raises(InputError, match=r'person, bicycle, .*airplane, \.\.\. \(80 in all\)'):
        check(leaf(root, metainfo={}))


def test_a_box_beyond_the_image_only_warns(root):
    write(root, annotations=[{**BOX, 'bbox': [35, 2, 10, 10]}])
    (one,) = check(leaf(root))
    assert any('boxes of annotations 1 reach beyond' in note for note in one.notes)


def test_every_head_is_compared_but_not_the_rpn_or_the_backbone(root):
    heads = [dict(num_classes=2), dict(num_classes=2)]
    model = dict(backbone=dict(num_classes=1000), rpn_head=dict(num_classes=1), roi_head=dict(bbox_head=heads))
    check(leaf(root), model=model)
    heads[1]['num_classes'] = 3
    with pytest.raises(InputError, match=r'model\.roi_head\.bbox_head\.1\.num_classes=3, but .* has 2 classes'):
        check(leaf(root), model=model)


def test_the_metric_must_read_the_same_images(root):
    def with_metric(path: str) -> None:
        val = dict(
            val_dataloader=dict(dataset=leaf(root)), val_evaluator=dict(type='CocoMetric', ann_file=f'{root}/{path}')
        )
        check(leaf(root), **val)

    write(root, 'copy.json', annotations=[])
    with_metric('copy.json')
    write(root, 'other.json', images=IMAGES[:1])
    with pytest.raises(InputError, match=r'val_evaluator\.ann_file=.*other\.json does not list the images 9'):
        with_metric('other.json')
    with pytest.raises(InputError, match=r'val_evaluator: no annotation file'):
        with_metric('none.json')


def test_other_kinds_of_data_sets_are_passed_over():
    assert check(dict(type='VOCDataset', data_root='/nowhere', ann_file='x.txt')) == []
    assert check(dict(type='LVISV1Dataset', data_root='/nowhere', ann_file='x.json')) == []


def test_masks_that_polygons_alone_would_leave_out_are_refused(root):
    """mmdet's LoadAnnotations(poly2mask=False) ignores objects whose mask is an RLE."""
    from mmdet.datasets.transforms import LoadAnnotations

    counts = [0, 100, 30 * 40 - 100]
    mask = {'size': [30, 40], 'counts': counts}
    crowd = BOX | {'id': 2, 'iscrowd': 1, 'segmentation': mask}
    polygon = BOX | {'id': 3, 'segmentation': [[1, 2, 11, 2, 11, 12, 1, 12]]}
    masks = {True: dict(type='LoadAnnotations', with_mask=True), False: dict(type='LoadAnnotations', with_mask=True)}
    masks[False]['poly2mask'] = False
    write(root, annotations=[crowd, polygon])
    check(leaf(root, pipeline=[masks[False]]))
    write(root, annotations=[crowd, polygon, BOX | {'id': 4, 'iscrowd': 0, 'bbox': [2, 2, 9, 9], 'segmentation': mask}])
    check(leaf(root, pipeline=[masks[True]]))
    with pytest.raises(InputError, match=r'1 of the 2 objects to learn .* have an RLE as mask.*poly2mask=True'):
        check(leaf(root, pipeline=[masks[False]]))

    instance = dict(bbox=[1, 2, 11, 12], bbox_label=0, mask=mask, ignore_flag=0)
    load = LoadAnnotations(with_mask=True, poly2mask=False)
    assert load(dict(instances=[instance], ori_shape=(30, 40)))['gt_ignore_flags'].tolist() == [True]
