# Weights & Biases beside log files and TensorBoard: a second base of your config, and one more line in it.
#   _base_ = ['mmsparseswin::cascade_sparseswin_coco.py', 'mmsparseswin::_base_/visualizers/wandb.py']
#   visualizer = dict(vis_backends=_base_.wandb_backends)
# Without a network WANDB_MODE=offline keeps the run in the work dir; `wandb sync` sends it later.
wandb_backends = [
    dict(type='LocalVisBackend'),
    dict(type='TensorboardVisBackend'),
    dict(type='WandbVisBackend', init_kwargs=dict(project='mmsparseswin')),
]
