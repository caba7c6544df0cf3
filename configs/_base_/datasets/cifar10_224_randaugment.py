# CIFAR-10 enlarged to 224 pixels, ours: crops of at least a quarter of the image, bicubic, RandAugment, random erasing.
_base_ = './cifar10_224.py'

train_pipeline = [
    dict(type='RandomResizedCrop', scale=224, crop_ratio_range=(0.25, 1.0), interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandAugment',
        policies='timm_increasing',
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
        hparams=dict(pad_val=[124, 116, 104], interpolation='bicubic'),
    ),
    dict(type='RandomErasing', erase_prob=0.25, mode='rand', min_area_ratio=0.02, max_area_ratio=1 / 3),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='Resize', scale=(224, 224), interpolation='bicubic'), dict(type='PackInputs')]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
