_base_ = [
    '../_base_/models/cascade_mask_rcnn_stvit_r_fpn.py',
    '../_base_/datasets/coco_instance_ms_crop.py',
    '../_base_/schedules/adamw_3x_warmup-500.py',
    '../_base_/default_runtime.py',
]
