# SparseSwin-T on CIFAR-10 with the published program; 97.43 % there.
_base_ = [
    '../_base_/models/sparseswin_cls.py',
    '../_base_/datasets/cifar10_224.py',
    '../_base_/schedules/sparseswin_published_cifar.py',
]

model = dict(head=dict(num_classes=10))
