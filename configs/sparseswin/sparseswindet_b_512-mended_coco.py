_base_ = './sparseswindet_t_512-mended_coco.py'

model = dict(backbone=dict(arch=dict(num_tokens=81, token_dims=1024)))
