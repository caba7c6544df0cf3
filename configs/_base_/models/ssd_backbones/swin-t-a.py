# Swin-T whose maps are taken after patch merging; its last two blocks are not there
# (docs/models/ssd.md, 'Backbones'). 'conv' merging drops the odd row and column of 21, hence 10.
_base_ = '../ssd.py'

input_size = 336
map_sizes = [42, 21, 10, 5, 3, 1]
out_channels = [192, 384, 768, 512, 256, 256]

model = dict(
    backbone=dict(
        type='mmsparseswin.SixMapBackbone',
        backbone=dict(
            type='mmsparseswin.MergedSwin',
            arch='tiny',
            patch_merging='conv',
            out_indices=(1, 2, 3),
            # Of a Swin with the usual merging: a start for 'conv' merging, which is not the same function.
            init_cfg=dict(type='Pretrained', checkpoint='https://download.pytorch.org/models/swin_t-704ceda3.pth'),
        ),
        extra=((512, 512, 2, 1), (256, 256, 2, 1), (128, 256, 1, 0)),
    )
)
