# COCO boxes, the longer side resized to 384, as SparseSwinDet trains; its preprocessor pads to the square. Batch 8, and
# no augmentation but flips.
_base_ = './coco_detection.py'

scale = (384, 384)
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=scale)
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=scale)

train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    drop_last=True,
    batch_sampler=None,
    dataset=dict(pipeline=train_pipeline, filter_cfg=dict(filter_empty_gt=False)),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(proposal_nums=(1, 10, 100))
test_evaluator = val_evaluator
