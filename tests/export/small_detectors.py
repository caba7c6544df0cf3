"""Small detectors that find something without training, their configs, data and weights."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmsparseswin.export.detectors import mmdet_finds
from mmsparseswin.shapes.drawing import draw_picture

CLASSES = ('cat', 'dog', 'owl')
SIZES = ((60, 90), (50, 90), (128, 192))  # after resizing 64 x 96, 53 x 96 and 64 x 96
SCALE, SHAPE = (96, 64), (64, 96)
SWIN = dict(
    type='mmsparseswin.Swin',
    arch=dict(embed_dims=16, depths=(1, 2, 1), num_heads=(1, 2, 4)),
    window_size=4,
    out_indices=(0, 1, 2),
)
SPARSE_SWIN = dict(
    type='mmsparseswin.SparseSwin',
    arch=dict(
        embed_dims=16,
        depths=(1, 2, 2),
        num_heads=(1, 2, 4),
        num_tokens=9,
        token_dims=32,
        token_heads=4,
        token_depth=1,
    ),
    window_size=4,
    img_size=96,
    out_indices=(0, 1, 2, 3),
)
MEAN = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)
NMS = dict(type='nms', iou_threshold=0.5)

RETINA: dict[str, Any] = dict(
    type='RetinaNet',
    data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32, **MEAN),
    backbone=SWIN,
    neck=dict(type='FPN', in_channels=[16, 32, 64], out_channels=16, num_outs=4),
    bbox_head=dict(
        type='RetinaHead',
        num_classes=3,
        in_channels=16,
        feat_channels=16,
        stacked_convs=1,
        anchor_generator=dict(
            type='AnchorGenerator',
            octave_base_scale=4,
            scales_per_octave=2,
            ratios=[0.5, 1.0, 2.0],
            strides=[4, 8, 16, 32],
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True),
        loss_bbox=dict(type='L1Loss'),
    ),
    test_cfg=dict(nms_pre=100, min_bbox_size=0, score_thr=0.05, nms=NMS, max_per_img=30),
)
SSD: dict[str, Any] = dict(
    type='SingleStageDetector',
    data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=1, **MEAN),
    backbone=SWIN,
    bbox_head=dict(
        type='mmsparseswin.RelativeSSDHead',
        in_channels=[16, 32, 64],
        num_classes=3,
        anchor_generator=dict(
            type='mmsparseswin.RelativeSSDAnchorGenerator', scales=[0.2, 0.4, 0.7], ratios=[[2], [2, 3], [2]]
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]),
    ),
    test_cfg=dict(nms_pre=1_000_000, min_bbox_size=0, score_thr=0.05, nms=NMS, max_per_img=40),
)

_BOX_HEAD = dict(
    type='Shared2FCBBoxHead',
    in_channels=16,
    fc_out_channels=32,
    roi_feat_size=7,
    num_classes=3,
    bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]),
)
_RPN = dict(
    type='RPNHead',
    in_channels=16,
    feat_channels=16,
    anchor_generator=dict(type='AnchorGenerator', scales=[4], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32]),
    bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
)


def _pool(size: int, sampling_ratio: int) -> dict[str, Any]:
    layer = dict(type='RoIAlign', output_size=size, sampling_ratio=sampling_ratio)
    return dict(
        type='SingleRoIExtractor', roi_layer=layer, out_channels=16, featmap_strides=[4, 8, 16], finest_scale=16
    )


def _mask_head(agnostic: bool) -> dict[str, Any]:
    return dict(
        type='FCNMaskHead',
        num_convs=1,
        in_channels=16,
        conv_out_channels=16,
        num_classes=3,
        class_agnostic=agnostic,
        loss_mask=dict(type='CrossEntropyLoss', use_mask=True),
    )


def _two_stage(kind: str, roi_head: dict[str, Any]) -> dict[str, Any]:
    rcnn = dict(score_thr=0.3, nms=NMS, max_per_img=25, mask_thr_binary=0.5)
    return dict(
        type=kind,
        data_preprocessor=RETINA['data_preprocessor'],
        backbone=SWIN,
        neck=RETINA['neck'],
        rpn_head=_RPN,
        roi_head=dict(bbox_roi_extractor=_pool(7, 2), **roi_head),
        train_cfg=None,
        test_cfg=dict(
            rpn=dict(nms_pre=100, max_per_img=60, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0), rcnn=rcnn
        ),
    )


# Boxes per class, masks per class, and RoIAlign that takes as many samples as pixels.
MASK_RCNN = _two_stage(
    'MaskRCNN',
    dict(
        type='StandardRoIHead',
        bbox_head=_BOX_HEAD,
        mask_roi_extractor=_pool(14, 0),
        mask_head=_mask_head(agnostic=False),
    ),
)
# Padding that the backbone is told of; three heads, of which the second has boxes per class, the others one box for
# all; masks for all classes.
CASCADE = _two_stage(
    'CascadeRCNN',
    dict(
        type='CascadeRoIHead',
        num_stages=3,
        stage_loss_weights=[1, 0.5, 0.25],
        bbox_head=[dict(_BOX_HEAD, reg_class_agnostic=agnostic) for agnostic in (True, False, True)],
        mask_roi_extractor=_pool(14, 2),
        mask_head=_mask_head(agnostic=True),
    ),
)

CASCADE.update(
    data_preprocessor=dict(RETINA['data_preprocessor'], type='mmsparseswin.ValidAreaDetDataPreprocessor'),
    backbone=SPARSE_SWIN,
    neck=dict(RETINA['neck'], in_channels=[16, 32, 64, 128]),
)


def config(model: dict[str, Any], root: Path, keep_ratio: bool = True) -> Config:
    """A config of `model` on the data of `write_data`."""
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=SCALE, keep_ratio=keep_ratio),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
    ]
    ann_file = str(root / 'truth.json')
    dataset = dict(
        type='CocoDataset',
        data_root=str(root),
        ann_file='truth.json',
        data_prefix=dict(img=''),
        metainfo=dict(classes=CLASSES),
        test_mode=True,
        pipeline=pipeline,
    )
    return Config(
        dict(
            default_scope='mmdet',
            model=model,
            test_dataloader=dict(
                batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), dataset=dataset
            ),
            test_evaluator=dict(
                type='CocoMetric',
                ann_file=ann_file,
                metric=['bbox', 'segm'] if 'mask_head' in model.get('roi_head', {}) else 'bbox',
            ),
            test_cfg=dict(type='TestLoop'),
            visualizer=dict(type='DetLocalVisualizer', name='visualizer'),
            work_dir=str(root / 'work'),
        )
    )


def build(cfg: Config, path: Path) -> nn.Module:
    """The model of `cfg` with random weights under which it finds something, saved at `path`."""
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(deepcopy(cfg.model)).eval()
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)) and 'head' in name:
            nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
            nn.init.zeros_(module.bias)
            if 'cls' in name or 'logits' in name:
                _spread_at_first_call(module, mean=-1.0 if 'cls' in name else 0.5)
    picture = draw_picture(np.random.default_rng(9), 96)[0][:64]
    with torch.no_grad():
        mmdet_finds(model, (torch.from_numpy(picture).permute(2, 0, 1)[None].float() - 118) / 58, SHAPE)
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=dict(classes=CLASSES))), path)
    return model


def _spread_at_first_call(module: Any, mean: float) -> None:
    """Let a layer give many different scores: every channel has this mean and the deviation 1.5."""

    def change(_: Any, inputs: Any, out: torch.Tensor) -> torch.Tensor:
        axes = [axis for axis in range(out.dim()) if axis != 1]
        scale = 1.5 / out.std(axes)
        module.weight.mul_(scale.view(-1, *[1] * (module.weight.dim() - 1)))
        module.bias.copy_(mean - out.mean(axes) * scale)
        hook.remove()
        return module(*inputs)

    hook = module.register_forward_hook(change)


def found_by_mmdet(model: nn.Module, cfg: Config, picture: str) -> Any:
    """What mmdet finds on a picture: pred_instances in its own pixels."""
    init_default_scope('mmdet')
    data = Compose(cfg.test_dataloader.dataset.pipeline)(dict(img_path=picture, img_id=0, instances=[]))
    with torch.no_grad():
        return model.test_step(pseudo_collate([data]))[0].pred_instances


def write_data(root: Path) -> list[str]:
    """Draw pictures of `SIZES`; returns their paths."""
    paths = []
    for index, (height, width) in enumerate(SIZES):
        picture = draw_picture(np.random.default_rng(index), 192)[0]
        paths.append(str(root / f'{index}.png'))
        cv2.imwrite(paths[-1], cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))
    return paths


def write_truth(root: Path, paths: list[str], model: nn.Module, cfg: Config) -> None:
    """Take what the model finds for the truth, so that its own mAP is high and every lost object costs some."""
    images, annotations = [], []
    for index, path in enumerate(paths):
        height, width = cv2.imread(path).shape[:2]
        images.append(dict(id=index, file_name=Path(path).name, height=height, width=width))
        found = found_by_mmdet(model, cfg, path)
        for label, box in zip(found.labels.tolist(), found.bboxes.tolist(), strict=True):
            x, y, w, h = box[0], box[1], box[2] - box[0], box[3] - box[1]
            one = dict(id=len(annotations) + 1, image_id=index, category_id=label + 1, iscrowd=0)
            one['segmentation'] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
            annotations.append(dict(one, bbox=[x, y, w, h], area=w * h))
    categories = [dict(id=index + 1, name=name) for index, name in enumerate(CLASSES)]
    truth = dict(images=images, annotations=annotations, categories=categories)
    (root / 'truth.json').write_text(json.dumps(truth))
