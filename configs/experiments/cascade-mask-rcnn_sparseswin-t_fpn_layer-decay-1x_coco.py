# Learning rates that fall with depth: each layer of the backbone learns 0.9 times as fast as the next. For a start from
# pretrained weights on little data, where early layers need to change least.
_base_ = '../sparseswin/cascade-mask-rcnn_sparseswin-t_fpn_1x_coco.py'

optim_wrapper = dict(constructor='mmsparseswin.DecayConstructor', paramwise_cfg=dict(layer_decay=0.9))
