_base_ = [
    '../_base_/models/mask_rcnn_stvit_r_fpn.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/adamw_1x.py',
    '../_base_/default_runtime.py',
]
