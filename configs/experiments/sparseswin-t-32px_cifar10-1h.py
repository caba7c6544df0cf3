# SparseSwin-T on the same three stages: its 49 tokens of 512 channels come from a grid of 4 x 4.
_base_ = './swin-t-32px_cifar10-1h.py'

model = dict(backbone=dict(type='mmsparseswin.SparseSwin', token_resize='weight'), head=dict(in_channels=512))
