# The same at 336 x 336, the size of the Swin backbones: 84, 42 and 21 cells divide by the window of 7.
_base_ = './coco_ssd_300.py'

train_pipeline = _base_.train_pipeline
train_pipeline[3]['transforms'].update(size=(504, 504))
train_pipeline[6].update(scale=(336, 336))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(336, 336))

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
