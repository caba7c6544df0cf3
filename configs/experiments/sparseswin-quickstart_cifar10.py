# The backbone of the quickstart's detector as a classifier of CIFAR-10, enlarged to 64 pixels for its patches of 4:
# pretraining for configs/quickstart/cascade_sparseswin_shapes.py, which starts from it by --pretrained CHECKPOINT.
_base_ = ['./swinvit_cifar10-1h.py', '../_base_/models/sparseswin_slim_arch.py']

model = dict(
    backbone=dict(
        type='mmsparseswin.SparseSwin',
        arch=dict(_base_.slim_arch, _delete_=True),
        img_size=64,
        window_size=5,
        mlp_ratio=2.0,
        drop_path_rate=0.05,
    ),
    head=dict(in_channels=192),
)
train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Resize', scale=(64, 64), interpolation='bilinear'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='Resize', scale=(64, 64), interpolation='bilinear'), dict(type='PackInputs')]
# ImageNet's mean and deviation, as in the detector that follows.
data_preprocessor = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
