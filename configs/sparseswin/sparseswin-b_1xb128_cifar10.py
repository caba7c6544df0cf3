_base_ = './sparseswin-t_1xb128_cifar10.py'

model = dict(backbone=dict(arch='base'), head=dict(in_channels=1024))
