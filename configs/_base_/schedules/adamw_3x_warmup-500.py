# 36 epochs after a shorter warm-up, as STViT-R's detectors.
_base_ = './adamw_3x.py'

param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    _base_.param_scheduler[1],
]
