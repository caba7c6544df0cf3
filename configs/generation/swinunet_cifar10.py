# Pictures of 32 x 32 pixels by the SwinUNet for CIFAR-10: as for MNIST, mirrored at random.
_base_ = ['../_base_/datasets/cifar10_32.py', '../_base_/generation_runtime.py']

data_preprocessor = None  # of classifiers; the model scales to [-1, 1] itself
model = dict(
    type='mmsparseswin.PictureDiffusion',
    unet=dict(type='mmsparseswin.SwinUNet', arch='cifar10', in_channels=3, num_classes=10),
    process=dict(type='mmsparseswin.Diffusion'),
    average=dict(decay=0.999, use_ema_warmup=True, power=0.75),
)
train_pipeline = [dict(type='RandomFlip', prob=0.5), dict(type='PackInputs')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = None
test_dataloader = None
val_evaluator = None
test_evaluator = None

optim_wrapper = dict(
    type='mmsparseswin.PrecisionOptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.99), weight_decay=0.0),
    clip_grad=dict(max_norm=1.0),
)
train_cfg = dict(by_epoch=True, max_epochs=100)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=200),
    dict(type='CosineAnnealingLR', T_max=100, end=100, eta_min=1e-5, convert_to_iter_based=True),
]
