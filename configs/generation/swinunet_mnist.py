# Digits of 28 x 28 pixels by the small SwinUNet: cosine diffusion, velocity, averaged weights.
_base_ = ['../_base_/datasets/draw_mnist.py', '../_base_/generation_runtime.py']

model = dict(
    type='mmsparseswin.PictureDiffusion',
    unet=dict(type='mmsparseswin.SwinUNet', arch='mnist', in_channels=1, num_classes=10),
    process=dict(type='mmsparseswin.Diffusion'),
    average=dict(decay=0.999, use_ema_warmup=True, power=0.75),
)
optim_wrapper = dict(
    type='mmsparseswin.PrecisionOptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.99), weight_decay=0.0),
    clip_grad=dict(max_norm=1.0),
)
train_cfg = dict(by_epoch=True, max_epochs=10)
val_cfg = dict()
test_cfg = dict()
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=200),
    dict(type='CosineAnnealingLR', T_max=10, end=10, eta_min=1e-5, convert_to_iter_based=True),
]
