"""SparseSwin, STViT-R and Swin backbones for mmdet and mmpretrain.

The import is light: no torch. A name below is imported when it is first used, and so is the class behind the bare
registry names ``SparseSwin``, ``STViTR`` and ``Swin``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mmsparseswin import mim, registry  # noqa: F401  the registry registers the bare names

if TYPE_CHECKING:
    from mmsparseswin import runtime
    from mmsparseswin.backbones import (
        SparseSwin,
        STViTR,
        Swin,
        create_model,
        list_models,
        to_timm,
        to_transformers,
    )
    from mmsparseswin.easy import load
    from mmsparseswin.hub import from_pretrained, push_to_hub, save_pretrained
    from mmsparseswin.layers.fast_path import fast_path

__version__ = '0.2.0.dev0'
__all__ = [
    'STViTR',
    'SparseSwin',
    'Swin',
    '__version__',
    'create_model',
    'fast_path',
    'from_pretrained',
    'list_models',
    'load',
    'push_to_hub',
    'runtime',
    'save_pretrained',
    'to_timm',
    'to_transformers',
]
# Name -> module of what no backbone file has.
_ELSEWHERE = {
    'fast_path': 'mmsparseswin.layers.fast_path',
    'load': 'mmsparseswin.easy',
    'from_pretrained': 'mmsparseswin.hub',
    'push_to_hub': 'mmsparseswin.hub',
    'save_pretrained': 'mmsparseswin.hub',
}

mim.register_with_mmengine()


def __getattr__(name: str) -> Any:
    """Import what needs torch when one of its names is asked for (PEP 562)."""
    if name == 'runtime':
        return import_module('mmsparseswin.runtime')
    if name in _ELSEWHERE:
        return getattr(import_module(_ELSEWHERE[name]), name)
    backbones = import_module('mmsparseswin.backbones')
    if name not in backbones.FILES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(backbones, name)


def __dir__() -> list[str]:
    """List the names that are not imported yet, too."""
    return sorted({*globals(), *__all__})
