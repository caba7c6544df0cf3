_base_ = [
    '../_base_/models/sparseswindet-mended.py',
    '../_base_/datasets/coco_jitter_512.py',
    '../_base_/schedules/sparseswindet_36e.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(img_size=512))
