_base_ = [
    '../_base_/models/stvit_r_classifier.py',
    '../_base_/datasets/imagenet_224.py',
    '../_base_/schedules/imagenet_300e.py',
    '../_base_/classification_runtime.py',
]

# The stem's batch norm is not synchronised; its statistics are, before a model is saved or validated.
custom_hooks = [*_base_.custom_hooks, dict(type='SyncBuffersHook')]
