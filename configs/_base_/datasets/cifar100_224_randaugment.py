# CIFAR-100 in the same way.
_base_ = './cifar10_224_randaugment.py'

data_root = 'data/cifar100'
data_preprocessor = dict(num_classes=100)
dataset = dict(type='mmsparseswin.CIFAR100', data_root=data_root)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
