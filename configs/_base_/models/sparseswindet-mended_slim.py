# SparseSwinDet, mended and slim: images of 128 pixels, six classes, from scratch.
_base_ = './sparseswindet-mended.py'

num_classes = 6  # of the embedded data set
width = 32  # channels of neck and head (64 on COCO)
model = dict(
    backbone=dict(
        arch=dict(
            embed_dims=32,
            depths=(2, 2, 2),
            num_heads=(1, 2, 4),
            drop_path_rate=0.0,
            num_tokens=16,
            token_dims=128,
            token_heads=8,
            token_depth=2,
        ),
        img_size=128,
        window_size=4,
        init_cfg=None,  # from scratch
    ),
    neck=dict(in_channels=[64, 128, 256], out_channels=width),
    bbox_head=dict(num_classes=num_classes, in_channels=width, feat_channels=width),
)
