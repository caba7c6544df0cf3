# The slim twin of the published SparseSwinDet: every fault of sparseswindet_shapes.py is on.
_base_ = './sparseswindet_shapes.py'

side = 128
model = dict(
    redraw_convs=True,
    unused_stage=True,
    data_preprocessor=dict(type='mmdet.DetDataPreprocessor', pad_size_divisor=side),
    backbone=dict(token_to_map='mlp', output_norm=False),
    neck=dict(in_channels=[64, 128, 128], norm_cfg=dict(momentum=0.9997)),
    bbox_head=dict(loss_per='image', anchor_generator=dict(octave_base_scale=4)),
    train_cfg=dict(assigner=dict(min_pos_iou=0.5, match_low_quality=False)),
    test_cfg=dict(score_thr=0.2, nms=dict(class_agnostic=True), max_per_img=1_000_000),
)
train_pipeline = [*_base_.train_pipeline[:2], _base_.test_pipeline[1], *_base_.train_pipeline[4:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
param_scheduler = [dict(type='mmsparseswin.TrainLossPlateauLR', patience=3)]
optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-3))
find_unused_parameters = True
