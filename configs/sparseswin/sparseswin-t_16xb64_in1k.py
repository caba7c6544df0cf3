# SparseSwin-T on ImageNet-1k from scratch, ours: the official recipe of Swin-T, for a fair comparison with it, and
# averaged weights.
_base_ = '../swin/swin-t_16xb64_in1k.py'

model = dict(
    backbone=dict(_delete_=True, type='mmsparseswin.SparseSwin', arch='tiny', out_type='avg_featmap'),
    head=dict(in_channels=512),
)
custom_hooks = [
    dict(type='EMAHook', ema_type='MomentumAnnealingEMA', momentum=1e-4, priority='ABOVE_NORMAL'),
    *_base_.custom_hooks,
]
