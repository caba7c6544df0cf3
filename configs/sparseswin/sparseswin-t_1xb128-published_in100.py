# SparseSwin-T on ImageNet100 with the published program, stages 1 and 2 frozen; 86.96 % there with the L2 penalty.
_base_ = [
    '../_base_/models/sparseswin_cls.py',
    '../_base_/datasets/imagenet100_published.py',
    '../_base_/schedules/sparseswin_published.py',
]

model = dict(backbone=dict(frozen_stages=2), head=dict(num_classes=100))
