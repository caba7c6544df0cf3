# SparseSwin's published program on ImageNet100 (docs/models/sparse_swin.md, 'Recipe'): Adam 1e-4 at batch 128,
# constant, float32, 100 epochs, the best on the test set is kept, all epochs but the first in evaluation mode.
_base_ = '../classification_runtime.py'

train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)
val_cfg = dict()
test_cfg = dict()
param_scheduler = []
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-4))
auto_scale_lr = dict(base_batch_size=128)
custom_hooks = [
    dict(type='mmsparseswin.EvalModeHook', begin=1),
    dict(type='mmsparseswin.ClassifierPicturesHook'),
]
randomness = dict(seed=1)
