_base_ = './sparseswin-t_1xb128_cifar100.py'

model = dict(backbone=dict(arch='small'), head=dict(in_channels=768))
