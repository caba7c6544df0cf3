# SwinViT for a budget of about an hour on two cores. So few epochs leave nothing to regularise: crops and flips alone,
# no stochastic depth, no averaged weights (which mmengine's hook cannot keep for timm's models anyway), half the step.
_base_ = '../swinvit/swinvit_1xb128_cifar10.py'

train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
model = dict(backbone=dict(drop_path_rate=0.0), train_cfg=None)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
custom_hooks = [dict(type='mmsparseswin.ClassifierPicturesHook')]
