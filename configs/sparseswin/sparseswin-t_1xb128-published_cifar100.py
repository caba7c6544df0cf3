# SparseSwin-T on CIFAR-100 with the published program; 85.35 % there.
_base_ = [
    '../_base_/models/sparseswin_cls.py',
    '../_base_/datasets/cifar100_224.py',
    '../_base_/schedules/sparseswin_published_cifar.py',
]

model = dict(head=dict(num_classes=100))
