# RetinaNet on a slim Swin, for blood cells (BCCD) at 320 x 240, from scratch: where most of the time is the backbone's.
# tools/experiments/window_gate.py trains it for so many minutes and leaves windows out (docs/sparsity.md).
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    '../_base_/models/swin_slim_backbone.py',
    '../_base_/datasets/bccd.py',
    '../_base_/schedules/shapes_8e.py',
    '../_base_/default_runtime.py',
]

width = 64  # channels of the pyramid and the head
norm = dict(type='BN')
model = dict(
    data_preprocessor=dict(type='mmsparseswin.ValidAreaDetDataPreprocessor', pad_size_divisor=1),
    backbone=dict(_base_.slim_backbone, _delete_=True, img_size=320),
    neck=dict(in_channels=[48, 96, 192, 384], out_channels=width, norm_cfg=norm),
    bbox_head=dict(
        num_classes=3,
        in_channels=width,
        feat_channels=width,
        stacked_convs=2,
        norm_cfg=norm,
        anchor_generator=dict(octave_base_scale=3),  # platelets are about 20 pixels wide, white cells about 100
    ),
)

scale = (320, 240)
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=scale)
train_pipeline[3].update(prob=[0.25, 0.25], direction=['horizontal', 'vertical'])  # no way up
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=scale)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

custom_hooks = [dict(type='SyncBuffersHook')]
