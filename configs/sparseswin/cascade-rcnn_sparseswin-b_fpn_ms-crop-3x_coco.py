_base_ = './cascade-rcnn_sparseswin-t_fpn_ms-crop-3x_coco.py'

model = dict(backbone=dict(arch='base'))
