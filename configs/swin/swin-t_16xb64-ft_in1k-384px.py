# Swin-T at 384 pixels with windows of 12, fine-tuned for 30 epochs from the official weights of 224 pixels, whose
# tables are resized.
_base_ = [
    '../_base_/models/swin_cls.py',
    '../_base_/datasets/imagenet_384.py',
    '../_base_/schedules/imagenet_ft-30e.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    backbone=dict(
        img_size=384,
        window_size=12,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
            'swin_tiny_patch4_window7_224.pth',
        ),
    ),
    head=dict(init_cfg=dict(_delete_=True, type='Constant', layer='Linear', val=0.0, bias=0.0)),
)
