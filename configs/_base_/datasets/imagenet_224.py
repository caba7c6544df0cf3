# ImageNet-1k as the official Swin trains and tests on it (docs/models/swin.md, 'Official recipe'). Its colour jitter of
# 0.4 is not here because timm, which it uses, drops jitter where RandAugment is on.
_base_ = 'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py'

data_root = 'data/imagenet'
val_evaluator = [dict(type='Accuracy', topk=(1, 5)), dict(type='mmsparseswin.ConfusionMatrix')]
test_evaluator = val_evaluator
