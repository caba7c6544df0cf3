# The main detector, slim enough for two CPU cores: tools/quickstart.sh trains it in minutes on the embedded data set.
# What is set here, or in a config of yours that inherits this one, replaces what a base says.
_base_ = [
    '../_base_/models/cascade_mask_rcnn_sparseswin_slim.py',
    '../_base_/datasets/shapes_instance.py',
    '../_base_/schedules/shapes_8e.py',
    '../_base_/default_runtime.py',
]

default_hooks = dict(logger=dict(interval=25), checkpoint=dict(max_keep_ckpts=2))
# Each process has batch norm statistics of its own: without this the saved model is not the one that was validated.
custom_hooks = [dict(type='SyncBuffersHook')]
