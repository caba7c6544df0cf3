# Multi-scale training with the crop branch (DETR, arXiv 2005.12872, as Swin's detectors use it).
_base_ = './coco_instance.py'

scales = [(480 + 32 * i, 1333) for i in range(11)]  # short side 480 to 800
multi_scale = dict(type='RandomChoiceResize', scales=scales, keep_ratio=True)
train_pipeline = [
    _base_.load_image,
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomChoice',
        transforms=[
            [multi_scale],
            [
                dict(type='RandomChoiceResize', scales=[(400, 1333), (500, 1333), (600, 1333)], keep_ratio=True),
                dict(type='RandomCrop', crop_type='absolute_range', crop_size=(384, 600), allow_negative_crop=True),
                multi_scale,
            ],
        ],
    ),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
