# COCO boxes at 300 x 300 with the augmentation that the published SSD runs used ("pattern 1"), its two faults included:
# padding to 450 pixels hardly zooms out, as COCO images are mostly larger, and the fill is a BGR colour on RGB images.
# coco_ssd_repaired_*.py mends both.
dataset_type = 'CocoDataset'
data_root = 'data/coco/'

load_image = dict(type='mmsparseswin.LoadImageFromFile')
colours = dict(
    type='RandomChoice',
    transforms=[
        [dict(type='mmsparseswin.RandomBrightnessContrast', brightness=0.2, contrast=0.2)],
        [dict(type='mmsparseswin.RandomColorShift', limits=(10, 15, 10), space='hsv')],
        [dict(type='mmsparseswin.RandomColorShift', limits=(15, 15, 15), space='bgr')],
        [dict(type='RandomGrayscale', prob=1.0, keep_channels=True, channel_weights=(0.114, 0.587, 0.299))],
    ],
    prob=[10 / 27, 10 / 27, 6 / 27, 1 / 27],  # weights .5, .5, .3, .05
)
# Images are BGR here: red 104, green 117, blue 123, where ImageNet's mean has red 123 and blue 104.
zoom_out = dict(type='mmsparseswin.PadToAtLeast', size=(450, 450), fill=(123, 117, 104))
# Both mended: 1.5 times the image's own size at most, filled with ImageNet's mean. SSD's own zoom goes to 4.
repaired_zoom_out = dict(type='Expand', mean=(103.53, 116.28, 123.675), to_rgb=False, ratio_range=(1, 1.5), prob=0.5)
train_pipeline = [
    load_image,
    dict(type='LoadAnnotations', with_bbox=True),
    colours,
    dict(type='RandomApply', transforms=zoom_out, prob=0.5),
    dict(type='RandomApply', transforms=dict(type='mmsparseswin.BoxSafeRandomCrop'), prob=0.7),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Resize', scale=(300, 300), keep_ratio=False),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=False),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    load_image,
    dict(type='Resize', scale=(300, 300), keep_ratio=False),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]

# 4 GPUs x 64 images, 462 iterations an epoch. Images without objects teach background.
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=16,  # all images have one size: no padding, whatever the batch
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

# COCO's protocol: original pixels, crowds, at most 100 detections an image.
val_evaluator = dict(
    type='mmsparseswin.CocoMetric',
    ann_file=data_root + 'annotations/instances_val2017.json',
    metric='bbox',
    proposal_nums=(1, 10, 100),
)
test_evaluator = val_evaluator
