# Swin's 30 epochs of fine-tuning from ImageNet-22k, or from a smaller image size: AdamW 4e-5 at batch 1024 (2e-5 per
# 512), 5 epochs of warm-up, a cosine to 4e-7, weight decay 1e-8.
_base_ = './imagenet_300e.py'

max_epochs = 30
warm_up = 5
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, end=warm_up, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min=4e-7,
        by_epoch=True,
        begin=warm_up,
        end=max_epochs,
        T_max=max_epochs - warm_up,
        convert_to_iter_based=True,
    ),
]
optim_wrapper = dict(optimizer=dict(lr=2e-5 * 1024 / 512, weight_decay=1e-8))
