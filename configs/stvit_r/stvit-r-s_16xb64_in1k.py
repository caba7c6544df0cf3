_base_ = [
    '../_base_/models/stvitr_classifier.py',
    'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py',
    '../_base_/schedules/imagenet_300e.py',
    'mmpretrain::_base_/default_runtime.py',
]

data_root = 'data/imagenet'  # another place: --cfg-options data_root=DIR
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3, save_best='accuracy/top1', rule='greater'))
randomness = dict(seed=0)
