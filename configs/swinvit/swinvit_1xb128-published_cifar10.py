# SwinViT on CIFAR-10 as published (docs/models/swin.md, 'SwinViT recipe'); 91.10 % there after 200 epochs.
# No normalisation, cutmix in every batch, gradients clipped tensor by tensor, four cycles of 50 epochs with a warm-up
# in each, weight decay on everything with two axes (bias tables included), float16 with a loss scaler.
_base_ = [
    '../_base_/models/swinvit_cls.py',
    '../_base_/datasets/cifar10_32.py',
    '../_base_/schedules/cifar_200e.py',
]

data_preprocessor = dict(mean=[0.0, 0.0, 0.0], std=[255.0, 255.0, 255.0])
train_pipeline = [
    dict(type='NumpyToPIL'),
    dict(type='torchvision/TrivialAugmentWide', interpolation='bilinear'),
    dict(type='torchvision/RandomHorizontalFlip'),
    dict(type='torchvision/RandomCrop', size=32, padding=4),
    dict(type='torchvision/PILToTensor'),
    dict(type='torchvision/RandomErasing', p=0.1),
    dict(type='PackInputs'),
]
train_dataloader = dict(drop_last=False, dataset=dict(pipeline=train_pipeline))
model = dict(train_cfg=dict(augments=[dict(type='CutMix', alpha=1.0)]))

optim_wrapper = dict(
    _delete_=True,
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
)
param_scheduler = [dict(type='mmsparseswin.WarmUpRestartLR', periods=[50] * 4, warm_up=10, eta_min=1e-6)]
custom_hooks = [
    dict(type='mmsparseswin.ClipEachTensorHook', max_norm=3.0),
    dict(type='mmsparseswin.ClassifierPicturesHook'),
]
randomness = dict(seed=42, deterministic=True)
