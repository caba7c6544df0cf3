# STViT-R-S for ImageNet-1k at 224 x 224, with the regularisation of its authors (docs/models/stvit_r.md,
# 'Classifier recipe').
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mmsparseswin.STViTR', arch='small', preset='cls', img_size=224, out_type='avg_featmap', drop_path_rate=0.3
    ),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=768,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
    ),
    # One of the two for each batch, with equal chances.
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
