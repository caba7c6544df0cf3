_base_ = [
    '../_base_/models/cascade_rcnn_sparseswin_fpn.py',
    '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/adamw_1x.py',
    '../_base_/default_runtime.py',
]
