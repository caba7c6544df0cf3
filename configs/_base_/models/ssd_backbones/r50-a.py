# ResNet-50, three maps of its own and three more (docs/models/ssd.md, 'Backbones').
_base_ = '../ssd.py'

input_size = 300
map_sizes = [38, 19, 10, 5, 3, 1]
out_channels = [512, 1024, 2048, 512, 256, 256]

model = dict(
    backbone=dict(
        type='mmsparseswin.SixMapBackbone',
        backbone=dict(
            type='ResNet',
            depth=50,
            out_indices=(1, 2, 3),
            norm_eval=False,
            init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50.imagenet1k_v2'),
        ),
        tap_channels=(512, 1024, 2048),
        extra=((256, 512, 2, 1), (128, 256, 2, 1), (128, 256, 2, 0)),
        first_scale=20.0,
    )
)
