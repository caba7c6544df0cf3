_base_ = [
    '../_base_/models/sparseswindet.py',
    '../_base_/datasets/coco_letterbox_512.py',
    '../_base_/schedules/sparseswindet_published.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(pad_size_divisor=512), backbone=dict(img_size=512))
