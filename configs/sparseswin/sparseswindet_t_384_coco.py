_base_ = [
    '../_base_/models/sparseswindet.py',
    '../_base_/datasets/coco_letterbox_384.py',
    '../_base_/schedules/sparseswindet_published.py',
    '../_base_/default_runtime.py',
]
