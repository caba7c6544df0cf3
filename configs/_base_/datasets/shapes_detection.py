# The embedded data set, boxes only, the longer side resized to 128 with scale jitter.
_base_ = './shapes_instance.py'

scale = (128, 128)
train_pipeline = [
    _base_.load_image,
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=scale, ratio_range=(0.75, 1.25), keep_ratio=True),
    dict(type='RandomCrop', crop_size=scale, allow_negative_crop=True),
    dict(type='RandomFlip', prob=[0.25, 0.25], direction=['horizontal', 'vertical']),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    _base_.load_image,
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
in_process = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(batch_size=8, **in_process, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(**in_process, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metric='bbox', proposal_nums=(1, 10, 100))
test_evaluator = val_evaluator
