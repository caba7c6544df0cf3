# Blood cells (BCCD): boxes of 3 classes on 640 x 480 pictures, 205 for training, 87 for validation, 72 for the test.
# Public at https://github.com/Shenggan/BCCD_Dataset (MIT), in Pascal VOC's layout. Into data/bccd:
#   python tools/dataset_tools/voc_to_coco.py BCCD_Dataset/BCCD data/bccd --copy-to images --leave-out
_base_ = './coco_detection.py'

data_root = 'data/bccd/'
scale = (640, 480)
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=scale)
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=scale)

data = dict(data_root=data_root, metainfo=dict(classes=('RBC', 'WBC', 'Platelets')), data_prefix=dict(img='images/'))
train_dataloader = dict(
    batch_size=4, dataset=dict(**data, ann_file='annotations/instances_train.json', pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(**data, ann_file='annotations/instances_val.json', pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(**data, ann_file='annotations/instances_test.json', pipeline=test_pipeline))
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = dict(ann_file=data_root + 'annotations/instances_test.json')
