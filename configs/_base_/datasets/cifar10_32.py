# CIFAR-10 at its 32 pixels, RGB: packed sheets or mmpretrain's batches, whichever data/cifar10 holds.
data_root = 'data/cifar10'
data_preprocessor = dict(num_classes=10, mean=[125.307, 122.961, 113.8575], std=[62.993, 62.089, 66.705], to_rgb=False)

train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='Resize', scale=(32, 32)),  # for the pictures of tools/predict.py
    dict(type='PackInputs'),
]

dataset = dict(type='mmsparseswin.CIFAR10', data_root=data_root)
train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(**dataset, split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=500,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**dataset, split='test', pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='Accuracy', topk=(1, 5)), dict(type='mmsparseswin.ConfusionMatrix')]
test_evaluator = val_evaluator
