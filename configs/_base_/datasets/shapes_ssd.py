# The embedded data set at 128 x 128:
#   python tools/dataset_tools/draw_shapes.py data/shapes --images 1000 200 --size 160 --seed 0
classes = ('disk', 'ring', 'square', 'triangle', 'star', 'crescent')
num_classes = len(classes)
data_root = 'data/shapes/'

resize = dict(type='Resize', scale=(128, 128), keep_ratio=False)
train_pipeline = [
    dict(type='mmsparseswin.LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    resize,
    dict(type='RandomFlip', prob=[0.25, 0.25], direction=['horizontal', 'vertical']),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='mmsparseswin.LoadImageFromFile'),
    resize,
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
dataset = dict(type='CocoDataset', data_root=data_root, metainfo=dict(classes=classes))
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
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
    batch_size=20,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
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
    type='mmsparseswin.CocoMetric',
    ann_file=data_root + 'annotations/instances_val.json',
    metric='bbox',
    proposal_nums=(1, 10, 100),
)
test_evaluator = val_evaluator
