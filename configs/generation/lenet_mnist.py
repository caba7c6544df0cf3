# The judge of drawn digits: a small LeNet, four epochs.
_base_ = ['../_base_/datasets/mnist_28.py', '../_base_/classification_runtime.py']

model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmsparseswin.LeNet'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=84, loss=dict(type='CrossEntropyLoss'), topk=(1,)),
)
train_dataloader = dict(
    dataset=dict(pipeline=[dict(type='RandomCrop', crop_size=28, padding=2), dict(type='PackInputs')])
)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=3e-3, weight_decay=0.01))
train_cfg = dict(by_epoch=True, max_epochs=4, val_interval=4)
val_cfg = dict()
test_cfg = dict()
param_scheduler = dict(type='OneCycleLR', eta_max=5e-3, total_steps=4 * 468, by_epoch=False)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))
custom_hooks = None
