# CIFAR-10 enlarged to 224 pixels, as SparseSwin's published program reads it (docs/models/sparse_swin.md,
# 'Recipe'): crops of 8 to 100 % of the image, bilinear without antialiasing, ImageNet's mean and deviation.
_base_ = './cifar10_32.py'

data_preprocessor = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
train_pipeline = [
    dict(type='RandomResizedCrop', scale=224, interpolation='bilinear'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='Resize', scale=(224, 224), interpolation='bilinear'), dict(type='PackInputs')]

train_dataloader = dict(drop_last=False, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=64, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
