_base_ = [
    '../_base_/models/ssd_backbones/r50-b.py',
    '../_base_/datasets/coco_ssd_300.py',
    '../_base_/schedules/ssd_sgd.py',
    '../_base_/default_runtime.py',
]

model = dict(bbox_head=dict(in_channels=_base_.out_channels))
