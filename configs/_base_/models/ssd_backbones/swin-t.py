# Swin-T the usual way: all four stages, a layer norm on each map, taken before patch merging. Ours, not published.
_base_ = '../ssd.py'

input_size = 336
map_sizes = [42, 21, 11, 6, 3, 1]
out_channels = [192, 384, 768, 512, 256, 256]

model = dict(
    backbone=dict(
        type='mmsparseswin.SixMapBackbone',
        backbone=dict(
            type='mmsparseswin.Swin',
            arch='tiny',
            out_indices=(1, 2, 3),
            init_cfg=dict(type='Pretrained', checkpoint='https://download.pytorch.org/models/swin_t-704ceda3.pth'),
        ),
        extra=((512, 512, 2, 1), (256, 256, 2, 1), (128, 256, 1, 0)),
        norm_cfg=dict(type='mmsparseswin.LN2d'),
    )
)
