_base_ = [
    '../_base_/models/sparseswindet-mended.py',
    '../_base_/datasets/coco_jitter_384.py',
    '../_base_/schedules/sparseswindet_36e.py',
    '../_base_/default_runtime.py',
]
