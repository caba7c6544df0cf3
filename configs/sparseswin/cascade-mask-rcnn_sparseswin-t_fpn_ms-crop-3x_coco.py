_base_ = [
    '../_base_/models/cascade_mask_rcnn_sparseswin_fpn.py',
    '../_base_/datasets/coco_instance_ms_crop.py',
    '../_base_/schedules/adamw_3x.py',
    '../_base_/default_runtime.py',
]
