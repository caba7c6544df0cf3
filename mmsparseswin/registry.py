"""The `mmsparseswin` scope: children of mmengine's registries, visible from mmdet and mmpretrain.

mmengine imports this file by itself when it meets a type such as ``mmsparseswin.SparseSwin``, and then the modules
named in ``locations``: no ``custom_imports`` is needed.
"""

from importlib.util import find_spec

from mmengine import registry as root
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import Registry

__all__ = [
    'DATASETS',
    'HOOKS',
    'METRICS',
    'MODELS',
    'OPTIM_WRAPPERS',
    'PARAM_SCHEDULERS',
    'ROOT_MODELS',
    'TASK_UTILS',
    'TRANSFORMS',
]

# A machine without mmdet or mmpretrain still builds every backbone.
_detection = ['mmsparseswin.detection'] if find_spec('mmdet') else []
_classification = ['mmsparseswin.classification'] if find_spec('mmpretrain') else []


def _child(parent: Registry, locations: list[str]) -> Registry:
    return Registry(parent.name, parent=parent, scope='mmsparseswin', locations=locations)


MODELS = _child(root.MODELS, ['mmsparseswin.backbones', 'mmsparseswin.engine', *_detection])
TASK_UTILS = _child(root.TASK_UTILS, _detection)
TRANSFORMS = _child(root.TRANSFORMS, ['mmsparseswin.engine', *_detection])
METRICS = _child(root.METRICS, ['mmsparseswin.engine', *_detection])
DATASETS = _child(root.DATASETS, _classification)
HOOKS = _child(root.HOOKS, ['mmsparseswin.engine'])
OPTIM_WRAPPERS = _child(root.OPTIM_WRAPPERS, ['mmsparseswin.engine'])
PARAM_SCHEDULERS = _child(root.PARAM_SCHEDULERS, ['mmsparseswin.engine'])
