# Ours: the same with label smoothing, and a head that starts as Swin's.
_base_ = './sparseswin_cls.py'

model = dict(
    head=dict(
        loss=dict(_delete_=True, type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(_delete_=True, type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
    ),
)
