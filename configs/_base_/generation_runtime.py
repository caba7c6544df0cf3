# Runtime of every config that draws: logging, checkpoints, averaged weights, seeds.
_base_ = 'mmpretrain::_base_/default_runtime.py'

default_hooks = dict(logger=dict(interval=50), checkpoint=dict(max_keep_ckpts=2))
custom_hooks = [dict(type='mmsparseswin.AverageWeightsHook'), dict(type='mmsparseswin.DrawnSheetHook')]
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(vis_backends=vis_backends)
randomness = dict(seed=0)
