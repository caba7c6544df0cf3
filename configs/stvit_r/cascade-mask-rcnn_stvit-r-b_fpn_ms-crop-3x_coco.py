_base_ = './cascade-mask-rcnn_stvit-r-s_fpn_ms-crop-3x_coco.py'

model = dict(
    backbone=dict(
        arch='base',
        drop_path_rate=0.3,
        init_cfg=dict(checkpoint='https://huggingface.co/csncsn/STViT-R/resolve/main/STViT-R-Swin-B.pth'),
    ),
    neck=dict(in_channels=[128, 256, 512, 1024]),
)
