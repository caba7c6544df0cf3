# The same with 512 pixels.
_base_ = './coco_letterbox_384.py'

scale = (512, 512)
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=scale)
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=scale)

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
