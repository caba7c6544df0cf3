"""A detector and a classifier that train in seconds, and a handful of pictures for them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ('square', 'disc')


def draw_coco(root: Path, images: int = 5, size: tuple[int, int] = (64, 48)) -> Path:
    """Write `images` pictures of noise with one bright rectangle each, but none on the last, and their annotations."""
    rng = np.random.default_rng(0)
    width, height = size
    (root / 'images').mkdir(parents=True)
    coco: dict = {
        'images': [],
        'annotations': [],
        'categories': [{'id': 10 * (i + 1), 'name': name} for i, name in enumerate(CLASSES)],
    }
    for index in range(images):
        pixels = rng.integers(0, 90, (height, width, 3), dtype=np.uint8)
        name = f'{index:03d}.jpg'
        coco['images'].append({'id': index, 'file_name': name, 'width': width, 'height': height})
        if index < images - 1:
            x, y, w, h = 5 + 4 * index, 7, 20, 24
            pixels[y : y + h, x : x + w] = 220
            corners = [x, y, x + w, y, x + w, y + h, x, y + h]
            coco['annotations'].append(
                {
                    'id': index + 1,
                    'image_id': index,
                    'category_id': 10 + 10 * (index % 2),
                    'bbox': [x, y, w, h],
                    'area': w * h,
                    'iscrowd': 0,
                    'segmentation': [corners],
                }
            )
        Image.fromarray(pixels).save(root / 'images' / name, quality=95)
    (root / 'annotations.json').write_text(json.dumps(coco))
    return root


DETECTOR = """
default_scope = 'mmdet'
data_root = {root!r}
metainfo = dict(classes={classes!r})
# One level, one convolution: enough of a detector for the tools.
model = dict(
    type='RetinaNet',
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[0, 0, 0], std=[255, 255, 255], pad_size_divisor=32),
    backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, num_stages=2, strides=(1, 2),
                  dilations=(1, 1), out_indices=(1,), norm_eval=True, init_cfg=None),
    neck=dict(type='FPN', in_channels=[16], out_channels=16, num_outs=1),
    bbox_head=dict(type='RetinaHead', num_classes=2, in_channels=16, stacked_convs=1, feat_channels=16,
                   anchor_generator=dict(type='AnchorGenerator', octave_base_scale=3, scales_per_octave=1,
                                         ratios=[1.0], strides=[8]),
                   bbox_coder=dict(type='DeltaXYWHBBoxCoder')),
    train_cfg=dict(assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0,
                                 ignore_iof_thr=-1),
                   sampler=dict(type='PseudoSampler'), allowed_border=-1, pos_weight=-1),
    test_cfg=dict(nms_pre=50, min_bbox_size=0, score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=5))
pipeline = [
    dict(type='mmsparseswin.LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CocoDataset', data_root=data_root, ann_file='annotations.json',
                 data_prefix=dict(img='images/'), metainfo=metainfo, pipeline=pipeline))
val_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), drop_last=False,
    dataset=dict(type='CocoDataset', data_root=data_root, ann_file='annotations.json', test_mode=True,
                 data_prefix=dict(img='images/'), metainfo=metainfo, pipeline=pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='CocoMetric', ann_file=data_root + '/annotations.json', metric='bbox')
test_evaluator = val_evaluator
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01))
auto_scale_lr = dict(enable=False, base_batch_size=4)
default_hooks = dict(logger=dict(type='LoggerHook', interval=1), checkpoint=dict(type='CheckpointHook', interval=1),
                     visualization=dict(type='DetVisualizationHook'))
visualizer = dict(type='DetLocalVisualizer', name='visualizer')
env_cfg = dict(mp_cfg=dict(mp_start_method='fork', opencv_num_threads=1))
randomness = dict(seed=0)
"""

CLASSIFIER = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, num_stages=2, strides=(1, 2),
                  dilations=(1, 1), out_indices=(1,)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=2, in_channels=16, topk=(1,)))
data_preprocessor = dict(num_classes=2, mean=[0, 0, 0], std=[255, 255, 255], to_rgb=True)
pipeline = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=32), dict(type='PackInputs')]
train_dataloader = dict(batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
                        dataset=dict(type='CustomDataset', data_root={root!r}, pipeline=pipeline))
val_dataloader = train_dataloader
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator
train_cfg = dict(by_epoch=True, max_epochs=1)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1))
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
randomness = dict(seed=0)
"""


def write_detector(folder: Path, root: Path, extra: str = '') -> Path:
    """Write the detector's config, with `extra` lines at its end."""
    path = folder / 'detector.py'
    path.write_text(DETECTOR.format(root=str(root), classes=CLASSES) + extra)
    return path


def write_classifier(folder: Path, root: Path) -> Path:
    """Write the classifier's config for `root`, a folder of folders of pictures."""
    path = folder / 'classifier.py'
    path.write_text(CLASSIFIER.format(root=str(root)))
    return path


def write_windows(folder: Path, classifier: Path) -> tuple[Path, Path]:
    """Write the config `classifier` with a Swin as its backbone, and a checkpoint of its first weights."""
    import torch
    from mmengine.config import Config
    from mmpretrain.registry import MODELS

    config = folder / 'windows.py'
    config.write_text(
        classifier.read_text()
        + "model['backbone'] = dict(type='mmsparseswin.Swin', arch=dict(embed_dims=16, depths=(2,), num_heads=(2,)),\n"
        "                         window_size=2, out_type='avg_featmap')\n"
        "del model['neck']\n"
    )
    torch.manual_seed(0)
    cfg = Config.fromfile(config)
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    torch.save(dict(state_dict=model.state_dict(), meta={}), folder / 'windows.pth')
    return config, folder / 'windows.pth'


def edit(root: Path, change: Callable[[dict], object]) -> None:
    """Change the annotations below `root` in place."""
    path = root / 'annotations.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
