# SwinViT for a budget of about an hour on two cores: so few epochs need neither strong augmentation (crops, flips,
# cutmix in half of the batches) nor averaged weights, which mmengine's hook cannot keep for timm's models anyway.
_base_ = '../swinvit/swinvit_1xb128_cifar10.py'

train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
model = dict(train_cfg=dict(augments=[dict(type='CutMix', alpha=1.0)], probs=[0.5]))
custom_hooks = [dict(type='mmsparseswin.ClassifierPicturesHook')]
