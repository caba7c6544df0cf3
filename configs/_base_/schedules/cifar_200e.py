# Ours for CIFAR from scratch: 200 epochs of AdamW 1e-3 at batch 128 in bfloat16, 10 epochs of warm-up, one cosine to
# 1e-5, averaged weights. tools/train.py --epochs N shortens all of it.
_base_ = './sparseswin_100e.py'

max_epochs = 200
warm_up = 10
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, end=warm_up, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.01,
        by_epoch=True,
        begin=warm_up,
        end=max_epochs,
        T_max=max_epochs - warm_up,
        convert_to_iter_based=True,
    ),
]
optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=1.0))
