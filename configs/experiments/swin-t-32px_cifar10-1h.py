# Swin-T from scratch at 32 pixels: patches of 2, windows of 4, so that its grids are 16, 8, 4 and 2 tokens wide.
_base_ = './swinvit_cifar10-1h.py'

model = dict(backbone=dict(arch='tiny', img_size=32, patch_size=2, window_size=4), head=dict(in_channels=768))
