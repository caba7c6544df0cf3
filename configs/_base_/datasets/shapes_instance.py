# The embedded data set at 160 x 160, boxes and masks:
#   python tools/dataset_tools/draw_shapes.py data/shapes --images 1000 200 --size 160 --seed 0
classes = ('disk', 'ring', 'square', 'triangle', 'star', 'crescent')
data_root = 'data/shapes/'
load_image = dict(type='mmsparseswin.LoadImageFromFile')
train_pipeline = [
    load_image,
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=(160, 160), keep_ratio=True),
    dict(type='RandomFlip', prob=[0.25, 0.25], direction=['horizontal', 'vertical']),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    load_image,
    dict(type='Resize', scale=(160, 160), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
dataset = dict(type='CocoDataset', data_root=data_root, metainfo=dict(classes=classes))
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        **dataset,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        filter_cfg=dict(filter_empty_gt=False),  # images without objects teach too
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,  # the backbone does not see padding, necks and heads do: one image at a time is exact
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **dataset,
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='mmsparseswin.CocoMetric', ann_file=data_root + 'annotations/instances_val.json', metric=['bbox', 'segm']
)
test_evaluator = val_evaluator
