_base_ = './cascade-rcnn_sparseswin-s_fpn_1x_coco.py'

model = dict(neck=dict(type='PAFPN'))
