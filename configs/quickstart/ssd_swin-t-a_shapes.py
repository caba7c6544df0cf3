# SSD on a slim Swin-T-A and the embedded data set; tools/experiments/ssd_grid.py trains it with every neck.
_base_ = ['../_base_/models/ssd_backbones/swin-t-a.py', '../_base_/ssd_shapes.py']

out_channels = [64, 128, 256, 128, 64, 64]
model = dict(
    backbone=dict(
        backbone=dict(
            arch=dict(_delete_=True, embed_dims=32, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8)),
            img_size=128,
            window_size=4,
            drop_path_rate=0.0,
            init_cfg=None,
        ),
        extra=((128, 128, 2, 1), (64, 64, 2, 1), (32, 64, 1, 0)),
    ),
    bbox_head=dict(num_classes=_base_.num_classes, in_channels=out_channels),
)
