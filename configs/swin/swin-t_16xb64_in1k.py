# Swin-T on ImageNet-1k with the official recipe; 81.2 % top-1 there.
_base_ = [
    '../_base_/models/swin_cls.py',
    '../_base_/datasets/imagenet_224.py',
    '../_base_/schedules/imagenet_300e.py',
    '../_base_/classification_runtime.py',
]
