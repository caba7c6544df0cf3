# The published program of ImageNet100 on ImageNet-1k, where it never reported a number.
_base_ = [
    '../_base_/models/sparseswin_cls.py',
    '../_base_/datasets/imagenet_published.py',
    '../_base_/schedules/sparseswin_published.py',
]

model = dict(backbone=dict(frozen_stages=2))
