# Swin-L comes from ImageNet-22k and is fine-tuned for 30 epochs; without the official table from 22k to 1k classes the
# head starts at zero, as the official program does then.
_base_ = [
    '../_base_/models/swin_cls.py',
    '../_base_/datasets/imagenet_224.py',
    '../_base_/schedules/imagenet_ft-30e.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    backbone=dict(
        arch='large',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
            'swin_large_patch4_window7_224_22k.pth',
        ),
    ),
    head=dict(in_channels=1536, init_cfg=dict(_delete_=True, type='Constant', layer='Linear', val=0.0, bias=0.0)),
)
