# SparseSwin-T on CIFAR-10, ours: crops that keep at least a quarter of the image, RandAugment.
_base_ = [
    '../_base_/models/sparseswin_cls_smooth.py',
    '../_base_/datasets/cifar10_224_randaugment.py',
    '../_base_/schedules/sparseswin_100e.py',
]

model = dict(head=dict(num_classes=10))
