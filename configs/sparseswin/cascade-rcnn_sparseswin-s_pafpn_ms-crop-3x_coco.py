_base_ = './cascade-rcnn_sparseswin-s_fpn_ms-crop-3x_coco.py'

model = dict(neck=dict(type='PAFPN'))
