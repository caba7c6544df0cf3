# The slim SparseSwinDet on blood cells (BCCD, 205 pictures of 640 x 480 for training), the longer side 256 pixels.
# Data: https://github.com/Shenggan/BCCD_Dataset in COCO layout, `images` and `annotations/instances_{train,val}.json`.
_base_ = '../quickstart/sparseswindet_shapes.py'

classes = ('RBC', 'WBC', 'Platelets')
model = dict(backbone=dict(img_size=256), bbox_head=dict(num_classes=len(classes)))

data_root = 'data/bccd/'
scale = (256, 256)
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=scale)
train_pipeline[3].update(crop_size=scale)
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=scale)
data = dict(data_root=data_root, metainfo=dict(classes=classes), data_prefix=dict(img='images/'))
train_dataloader = dict(dataset=dict(**data, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(**data, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator
