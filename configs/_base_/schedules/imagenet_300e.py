# Swin's 300 epochs on ImageNet-1k: AdamW 1e-3 at batch 1024, 20 epochs from 1e-6 upwards, then a cosine to 1e-5.
# Vectors (biases, norms, scales) and position tables do not decay.
_base_ = 'mmpretrain::_base_/schedules/imagenet_bs1024_adamw_swin.py'

max_epochs = 300
warm_up = 20
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, end=warm_up, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        by_epoch=True,
        begin=warm_up,
        end=max_epochs,
        T_max=max_epochs - warm_up,
        convert_to_iter_based=True,  # a new learning rate every step, not every epoch
    ),
]
optim_wrapper = dict(
    type='mmsparseswin.PrecisionOptimWrapper',
    precision='auto',
    constructor='mmsparseswin.DecayConstructor',
    paramwise_cfg=dict(_delete_=True, flat_decay_mult=0.0),
    clip_grad=dict(max_norm=5.0),
)
