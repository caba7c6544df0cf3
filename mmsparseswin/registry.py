"""The `mmsparseswin` scope: children of mmengine's registries, visible from mmdet and mmpretrain.

mmengine imports this file by itself when it meets a type such as ``mmsparseswin.SparseSwin``; the registry then imports
the module that defines it: no ``custom_imports`` is needed.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from mmengine import registry as root
from mmengine.registry import Registry

__all__ = [
    'DATASETS',
    'HOOKS',
    'LOOPS',
    'METRICS',
    'MODELS',
    'OPTIM_WRAPPERS',
    'OPTIM_WRAPPER_CONSTRUCTORS',
    'PARAM_SCHEDULERS',
    'STRATEGIES',
    'TASK_UTILS',
    'TRANSFORMS',
    'backbone_classes',
    'register_backbone',
]

# Class -> its module. By name, because their import needs torch.
_BACKBONES: dict[str, str] = {
    name: f'mmsparseswin.backbones.{file}' for name, file in import_module('mmsparseswin.backbones').BACKBONES.items()
}


def _wing(library: str, package: str, *modules: str) -> list[str]:
    """Return the modules that need `library`, or none if it is missing: backbones work without it."""
    return [f'mmsparseswin.{package}.{module}' for module in modules] if find_spec(library) else []


class LazyRegistry(Registry):
    """Import `locations` one after the other until one of them registers the name that is asked for.

    mmengine's Registry imports all of them at the first look-up: a classifier would need mmdet and mmcv's operators.
    """

    def get(self, key: str) -> Any:
        """Return the class called `key`, or None."""
        scope, name = self.split_scope_key(key)
        if scope in (None, self.scope):
            for location in self._locations:
                if name in self.module_dict:
                    break
                import_module(location)
        return super().get(key)

    def import_from_location(self) -> None:
        """Import nothing: :meth:`get` has done so."""


def _child(parent: Registry, locations: list[str]) -> Registry:
    return LazyRegistry(parent.name, parent=parent, scope='mmsparseswin', locations=locations)


# Modules without further libraries come first, so that their names are found without them.
MODELS = _child(
    root.MODELS,
    [
        *(*_BACKBONES.values(), 'mmsparseswin.engine'),
        *_wing('mmdet', 'detection', 'float32', 'merged_views', 'necks', 'roi_heads', 'valid_area'),
        *_wing('mmdet', 'detection.ssd', 'head', 'merged_swin', 'six_maps'),
        *_wing('mmdet', 'detection.sparse_swin_det', 'bifpn', 'detector', 'head'),
        *(f'mmsparseswin.generation.{module}' for module in ('lenet', 'model', 'peers', 'swin_unet')),
    ],
)
TASK_UTILS = _child(root.TASK_UTILS, [*_wing('mmdet', 'detection', 'ssd.priors'), 'mmsparseswin.generation.processes'])
TRANSFORMS = _child(root.TRANSFORMS, ['mmsparseswin.engine', *_wing('mmdet', 'detection', 'ssd.augmentation')])
METRICS = _child(
    root.METRICS,
    [
        'mmsparseswin.engine',
        *_wing('mmdet', 'detection', 'metrics'),
        *_wing('mmpretrain', 'generation', 'drawing_metric'),
    ],
)
DATASETS = _child(
    root.DATASETS,
    [
        *_wing('mmpretrain', 'classification', 'cifar', 'imagenet100', 'mnist'),
        *_wing('mmpretrain', 'generation', 'requests'),
    ],
)
HOOKS = _child(
    root.HOOKS,
    [
        'mmsparseswin.engine',
        *_wing('mmdet', 'detection', 'pictures_hook'),
        *('mmsparseswin.generation.averaging', 'mmsparseswin.generation.sheet_hook'),
    ],
)
LOOPS = _child(root.LOOPS, ['mmsparseswin.engine'])
OPTIM_WRAPPERS = _child(root.OPTIM_WRAPPERS, ['mmsparseswin.engine'])
OPTIM_WRAPPER_CONSTRUCTORS = _child(root.OPTIM_WRAPPER_CONSTRUCTORS, ['mmsparseswin.engine'])
PARAM_SCHEDULERS = _child(root.PARAM_SCHEDULERS, ['mmsparseswin.engine'])
STRATEGIES = _child(root.STRATEGIES, ['mmsparseswin.engine.fsdp'])


def register_backbone(cls: type) -> type:
    """Register `cls` as ``mmsparseswin.<name>`` and by its bare name, there instead of :func:`_register_bare`'s."""
    MODELS.register_module(module=cls)
    root.MODELS.register_module(module=cls, force=True)
    _BACKBONES.setdefault(cls.__name__, cls.__module__)  # one from outside the package is new here
    return cls


def backbone_classes() -> list[Any]:
    """Import and return the classes of all backbones."""
    return [MODELS.get(name) for name in _BACKBONES]


def _register_bare(name: str) -> None:
    """Let mmengine's root, which mmdet and mmpretrain ask last, build the backbone `name`: its class is imported then.

    mmengine's registries hold functions as well as classes, and a function costs no import of torch.
    """

    def build(*args: Any, **kwargs: Any) -> Any:
        return MODELS.get(name)(*args, **kwargs)

    build.__name__ = build.__qualname__ = name
    root.MODELS.register_module(module=build)


for _name in _BACKBONES:
    _register_bare(_name)
