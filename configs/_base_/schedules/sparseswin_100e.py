# Ours for SparseSwin from Swin's weights: 100 epochs of AdamW 1e-4 at batch 128, 5 epochs of warm-up, a
# cosine to 1e-6, averaged weights, training mode throughout. Vectors and position tables do not decay.
_base_ = '../classification_runtime.py'

max_epochs = 100
warm_up = 5
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, end=warm_up, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.01,
        by_epoch=True,
        begin=warm_up,
        end=max_epochs,
        T_max=max_epochs - warm_up,
        convert_to_iter_based=True,
    ),
]
optim_wrapper = dict(
    type='mmsparseswin.PrecisionOptimWrapper',
    precision='auto',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    constructor='mmsparseswin.DecayConstructor',
    paramwise_cfg=dict(flat_decay_mult=0.0),
    clip_grad=dict(max_norm=5.0),
)
auto_scale_lr = dict(base_batch_size=128)
custom_hooks = [
    dict(type='EMAHook', ema_type='MomentumAnnealingEMA', momentum=1e-3, gamma=100, priority='ABOVE_NORMAL'),
    dict(type='mmsparseswin.ClassifierPicturesHook'),
]
