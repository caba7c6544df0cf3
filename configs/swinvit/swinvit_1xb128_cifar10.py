# SwinViT on CIFAR-10, ours: normalised images, one cosine stepped every iteration, mixup or cutmix in half of the
# batches, the norm of all gradients clipped, no decay of bias tables, averaged weights.
_base_ = [
    '../_base_/models/swinvit_cls.py',
    '../_base_/datasets/cifar10_32.py',
    '../_base_/schedules/cifar_200e.py',
]

train_pipeline = [
    dict(type='NumpyToPIL'),
    dict(type='torchvision/RandomCrop', size=32, padding=4),
    dict(type='torchvision/RandomHorizontalFlip'),
    dict(type='torchvision/TrivialAugmentWide', interpolation='bilinear'),
    dict(type='torchvision/PILToTensor'),
    dict(type='torchvision/RandomErasing', p=0.25),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
augments = [dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]
model = dict(train_cfg=dict(augments=augments, probs=[0.25, 0.25]))
