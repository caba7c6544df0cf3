# The published augmentation with its two faults mended.
_base_ = './coco_ssd_300.py'

train_pipeline = _base_.train_pipeline
train_pipeline[3] = _base_.repaired_zoom_out
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
