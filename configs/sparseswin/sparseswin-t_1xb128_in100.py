# SparseSwin-T on ImageNet100, ours.
_base_ = [
    '../_base_/models/sparseswin_cls_smooth.py',
    '../_base_/datasets/imagenet100_224.py',
    '../_base_/schedules/sparseswin_100e.py',
]

model = dict(head=dict(num_classes=100))
