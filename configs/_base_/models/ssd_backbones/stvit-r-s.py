# STViT-R-S: its maps of strides 8, 16 and 32, and three more. Ours.
_base_ = './swin-t.py'

model = dict(
    backbone=dict(
        backbone=dict(
            type='mmsparseswin.STViTR',
            arch='small',
            preset='det',
            # Swin-S: all but the convolutional stem.
            init_cfg=dict(checkpoint='https://download.pytorch.org/models/swin_s-5e29d889.pth'),
        )
    )
)
