# Swin-T stages 1-3, their map expanded to stride 8, and five more (docs/models/ssd.md, 'Backbones').
_base_ = '../ssd.py'

input_size = 336
map_sizes = [42, 21, 11, 6, 3, 1]
out_channels = [192, 512, 512, 256, 256, 256]

model = dict(
    backbone=dict(
        type='mmsparseswin.SixMapBackbone',
        backbone=dict(
            type='mmsparseswin.Swin',
            arch='tiny',
            patch_merging='conv',
            out_indices=(2,),
            output_norm=False,
            # Of a Swin with the usual merging: a start for 'conv' merging, which is not the same function.
            init_cfg=dict(type='Pretrained', checkpoint='https://download.pytorch.org/models/swin_t-704ceda3.pth'),
        ),
        expand=True,
        extra=((512, 512, 2, 1), (256, 512, 2, 1), (256, 256, 2, 1), (128, 256, 2, 1), (128, 256, 1, 0)),
        norm_cfg=dict(type='mmsparseswin.LN2d'),
    )
)
