# Runtime of every classification config: logging, checkpoints, pictures, seeds.
_base_ = 'mmpretrain::_base_/default_runtime.py'

default_hooks = dict(
    logger=dict(interval=50),
    # The last three epochs and the best one are kept.
    checkpoint=dict(max_keep_ckpts=3, save_best='accuracy/top1', rule='greater'),
)
custom_hooks = [dict(type='mmsparseswin.ClassifierPicturesHook')]
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(vis_backends=vis_backends)
randomness = dict(seed=0)
