# ResNet-50 without its last stage: one fine map, and five more (docs/models/ssd.md, 'Backbones').
_base_ = '../ssd.py'

input_size = 300
map_sizes = [38, 19, 10, 5, 3, 1]
out_channels = [1024, 512, 512, 256, 256, 256]

model = dict(
    backbone=dict(
        type='mmsparseswin.SixMapBackbone',
        backbone=dict(
            type='ResNet',
            depth=50,
            num_stages=3,
            strides=(1, 2, 1),  # the third stage keeps stride 8
            dilations=(1, 1, 1),
            out_indices=(2,),
            norm_eval=False,
            init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50.imagenet1k_v2'),
        ),
        tap_channels=(1024,),
        extra=((256, 512, 2, 1), (256, 512, 2, 1), (128, 256, 2, 1), (128, 256, 1, 0), (128, 256, 1, 0)),
    )
)
