_base_ = './sparseswindet_t_384_coco.py'

model = dict(
    backbone=dict(arch=dict(num_tokens=64, token_dims=768)),
    neck=dict(in_channels=[192, 384, 768]),
)
