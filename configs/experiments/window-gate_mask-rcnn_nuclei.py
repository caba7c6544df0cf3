# Mask R-CNN on a slim Swin, for nuclei at 256 pixels, from scratch.
# tools/experiments/window_gate.py trains it for so many minutes and leaves windows out (docs/sparsity.md).
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    '../_base_/models/swin_slim_backbone.py',
    '../_base_/datasets/nuclei.py',
    '../_base_/schedules/shapes_8e.py',
    '../_base_/default_runtime.py',
]

width = 64  # channels of the pyramid and the heads
norm = dict(type='BN')
extractor = dict(
    type='mmsparseswin.Float32RoIExtractor',
    out_channels=width,
    finest_scale=28,  # a nucleus is 10 to 40 pixels wide
    roi_layer=dict(use_torchvision=True, sampling_ratio=2),
)
model = dict(
    data_preprocessor=dict(type='mmsparseswin.ValidAreaDetDataPreprocessor', pad_size_divisor=1),
    backbone=dict(_base_.slim_backbone, _delete_=True, img_size=256),
    neck=dict(in_channels=[48, 96, 192, 384], out_channels=width, norm_cfg=norm),
    rpn_head=dict(
        type='mmsparseswin.Float32RPNHead',
        in_channels=width,
        feat_channels=width,
        anchor_generator=dict(scales=[4]),
    ),
    roi_head=dict(
        type='mmsparseswin.StandardRoIHead',
        bbox_roi_extractor=extractor,
        mask_roi_extractor=extractor,
        bbox_head=dict(in_channels=width, fc_out_channels=256, num_classes=1),
        mask_head=dict(num_convs=2, in_channels=width, conv_out_channels=width, num_classes=1, norm_cfg=norm),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=200),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=200), rcnn=dict(max_per_img=150)),
)

scale = (256, 256)
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=scale)
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=scale)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

custom_hooks = [dict(type='SyncBuffersHook')]
