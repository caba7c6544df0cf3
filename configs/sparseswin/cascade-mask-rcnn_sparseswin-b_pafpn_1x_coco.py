_base_ = './cascade-mask-rcnn_sparseswin-b_fpn_1x_coco.py'

model = dict(neck=dict(type='PAFPN'))
