# From the official ImageNet-22k weights, which have this image size.
_base_ = './swin-t_16xb64-ft_in1k-384px.py'

model = dict(
    backbone=dict(
        arch='large',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
            'swin_large_patch4_window12_384_22k.pth',
        ),
    ),
    head=dict(in_channels=1536),
)
