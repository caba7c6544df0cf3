# SparseSwinDet, mended and slim, on the embedded data set; tools/experiments/sparse_swin_det.py switches its faults on.
#   python tools/dataset_tools/draw_shapes.py data/shapes --images 1000 200 --size 160
#   python tools/train.py configs/quickstart/sparseswindet_shapes.py
_base_ = [
    '../_base_/models/sparseswindet-mended_slim.py',
    '../_base_/datasets/shapes_detection.py',
    '../_base_/schedules/shapes_8e.py',
    '../_base_/default_runtime.py',
]

# One group of parameters: a group for each, as decay per kind needs, makes a step of so small a model a fifth longer.
optim_wrapper = dict(paramwise_cfg=None, clip_grad=dict(max_norm=5.0))
# Each process has batch norm statistics of its own: without this the saved model is not the one that was validated.
custom_hooks = [dict(type='SyncBuffersHook')]
