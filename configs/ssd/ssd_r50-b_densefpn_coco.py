_base_ = './ssd_r50-b_none_coco.py'

maps = _base_.out_channels
model = dict(
    neck=dict(type='mmsparseswin.DenseFPN', in_channels=maps, out_channels=256),
    bbox_head=dict(in_channels=[256] * 6),
)

# This one of the published runs warmed up for two epochs, from 8e-6, and so stepped an epoch later.
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(start_factor=8e-6 / _base_.lr, end=2)
param_scheduler[1].update(milestones=[44, 55])
