# COCO boxes, the longer side between half and one and a half of 512, cut to at most 512.
_base_ = './coco_letterbox_512.py'

train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='RandomResize', scale=_base_.scale, ratio_range=(0.5, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=_base_.scale, allow_negative_crop=True),
    *_base_.train_pipeline[3:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
