# Cascade Mask R-CNN on plain Swin-T.
_base_ = '../sparseswin/cascade-mask-rcnn_sparseswin-t_fpn_1x_coco.py'

model = dict(backbone=dict(type='mmsparseswin.Swin'))
