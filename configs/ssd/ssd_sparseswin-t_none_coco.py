_base_ = [
    '../_base_/models/ssd_backbones/sparseswin-t.py',
    '../_base_/datasets/coco_ssd_336.py',
    '../_base_/schedules/ssd_adamw.py',
    '../_base_/default_runtime.py',
]

model = dict(bbox_head=dict(in_channels=_base_.out_channels))
