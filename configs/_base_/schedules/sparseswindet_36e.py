# 36 epochs of AdamW at batch 8 with warm-up and one cosine. Vectors and tables do not decay.
max_epochs = 36
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='CosineAnnealingLR', T_max=max_epochs, end=max_epochs, by_epoch=True, convert_to_iter_based=True),
]
optim_wrapper = dict(
    type='mmsparseswin.PrecisionOptimWrapper',
    precision='auto',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    constructor='mmsparseswin.DecayConstructor',
    paramwise_cfg=dict(custom_keys={'fusion_weights': dict(decay_mult=0.0)}),
    clip_grad=dict(max_norm=0.1),
)
auto_scale_lr = dict(enable=False, base_batch_size=8)
