# Swin-T for ImageNet-1k as the official one is trained: label smoothing, mixup and cutmix in turn.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmsparseswin.Swin', arch='tiny', out_type='avg_featmap'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=768,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
