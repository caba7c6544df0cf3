"""Backbones, built from mmdet's and mmpretrain's registries alike; each is imported when it is first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmsparseswin.backbones.sparse_swin import SparseSwin
    from mmsparseswin.backbones.stvit_r import STViTR
    from mmsparseswin.backbones.swin import Swin
    from mmsparseswin.backbones.to_others import to_timm, to_transformers
    from mmsparseswin.backbones.zoo import create_model, list_models

# Class -> its file in this folder: the one list of backbones.
BACKBONES = {'STViTR': 'stvit_r', 'SparseSwin': 'sparse_swin', 'Swin': 'swin'}
FILES = {
    **BACKBONES,
    'create_model': 'zoo',
    'list_models': 'zoo',
    'to_timm': 'to_others',
    'to_transformers': 'to_others',
}

__all__ = ['STViTR', 'SparseSwin', 'Swin', 'create_model', 'list_models', 'to_timm', 'to_transformers']


def __getattr__(name: str) -> Any:
    """Import a backbone, which needs torch and mmengine.model, when its name is asked for (PEP 562)."""
    if name not in FILES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'{__name__}.{FILES[name]}'), name)
