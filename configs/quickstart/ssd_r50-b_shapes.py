# SSD on a slim ResNet-50-B and the embedded data set; tools/experiments/ssd_grid.py trains it with every neck.
_base_ = ['../_base_/models/ssd_backbones/r50-b.py', '../_base_/ssd_shapes.py']

out_channels = [256, 128, 128, 64, 64, 64]
model = dict(
    backbone=dict(
        backbone=dict(base_channels=16, stem_channels=16, init_cfg=None),
        tap_channels=out_channels[:1],
        extra=((64, 128, 2, 1), (64, 128, 2, 1), (32, 64, 2, 1), (32, 64, 1, 0), (32, 64, 1, 0)),
    ),
    bbox_head=dict(num_classes=_base_.num_classes, in_channels=out_channels),
)
