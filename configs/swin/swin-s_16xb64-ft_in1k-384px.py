_base_ = './swin-t_16xb64-ft_in1k-384px.py'

model = dict(
    backbone=dict(
        arch='small',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
            'swin_small_patch4_window7_224.pth',
        ),
    ),
)
