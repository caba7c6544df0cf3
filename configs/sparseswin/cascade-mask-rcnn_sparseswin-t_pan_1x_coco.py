_base_ = './cascade-mask-rcnn_sparseswin-t_fpn_1x_coco.py'

model = dict(neck=dict(type='mmsparseswin.PAN'))
