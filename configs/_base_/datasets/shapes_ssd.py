# The embedded data set at 128 x 128, boxes only.
_base_ = './shapes_instance.py'

num_classes = 6
resize = dict(type='Resize', scale=(128, 128), keep_ratio=False)
train_pipeline = [
    _base_.load_image,
    dict(type='LoadAnnotations', with_bbox=True),
    resize,
    dict(type='RandomFlip', prob=[0.25, 0.25], direction=['horizontal', 'vertical']),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    _base_.load_image,
    resize,
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
in_process = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(**in_process, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=20, drop_last=False, **in_process, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metric='bbox', proposal_nums=(1, 10, 100))
test_evaluator = val_evaluator
