# MNIST at its 28 pixels, grey: mnist.npz or the four idx files, whichever data/mnist holds.
data_root = 'data/mnist'
data_preprocessor = dict(num_classes=10, mean=[127.5], std=[127.5], to_rgb=False)

pipeline = [dict(type='PackInputs')]
dataset = dict(type='mmsparseswin.MNIST', data_root=data_root)
train_dataloader = dict(
    batch_size=128,
    num_workers=0,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(**dataset, split='train', pipeline=pipeline),
)
val_dataloader = dict(
    batch_size=500,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**dataset, split='test', pipeline=pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator
