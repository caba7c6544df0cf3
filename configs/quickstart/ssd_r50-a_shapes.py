# SSD on a slim ResNet-50-A and the embedded data set; tools/experiments/ssd_grid.py trains it with every neck.
_base_ = ['../_base_/models/ssd_backbones/r50-a.py', '../_base_/ssd_shapes.py']

out_channels = [128, 256, 512, 128, 64, 64]
model = dict(
    backbone=dict(
        backbone=dict(base_channels=16, stem_channels=16, init_cfg=None),
        tap_channels=out_channels[:3],
        extra=((64, 128, 2, 1), (32, 64, 2, 1), (32, 64, 2, 0)),
    ),
    bbox_head=dict(num_classes=_base_.num_classes, in_channels=out_channels),
)
