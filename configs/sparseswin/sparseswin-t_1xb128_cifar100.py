# SparseSwin-T on CIFAR-100, ours.
_base_ = [
    '../_base_/models/sparseswin_cls_smooth.py',
    '../_base_/datasets/cifar100_224_randaugment.py',
    '../_base_/schedules/sparseswin_100e.py',
]

model = dict(head=dict(num_classes=100))
