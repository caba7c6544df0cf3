# SwinViT: three stages of Swin at 32 pixels, 7,048,612 parameters (docs/models/swin.md, 'SwinViT').
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmsparseswin.Swin', arch='cifar', out_type='avg_featmap'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=384,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
    ),
)
