_base_ = './cascade-rcnn_sparseswin-b_fpn_1x_coco.py'

model = dict(neck=dict(type='PAFPN'))
