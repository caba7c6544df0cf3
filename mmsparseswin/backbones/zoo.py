"""Every published model by name, for features in one call without a config file."""

import os
from fnmatch import fnmatch
from typing import Any

from mmsparseswin.backbones.base import TokenBackbone
from mmsparseswin.backbones.sparse_swin import SparseSwin
from mmsparseswin.backbones.stvit_r import STViTR
from mmsparseswin.backbones.swin import Swin
from mmsparseswin.errors import InputError

_WINDOW_12 = {'img_size': 384, 'window_size': 12}
# name -> (class, options)
_MODELS: dict[str, tuple[type[Swin], dict[str, Any]]] = {
    **{f'swin-{arch}': (Swin, {'arch': arch}) for arch in Swin.arch_zoo},
    **{f'swin-{arch}-384': (Swin, {'arch': arch, **_WINDOW_12}) for arch in ('base', 'large')},
    **{f'sparseswin-{arch}': (SparseSwin, {'arch': arch}) for arch in SparseSwin.arch_zoo},
    **{f'stvitr-{arch}': (STViTR, {'arch': arch}) for arch in STViTR.arch_zoo},
    **{f'stvitr-det-{arch}': (STViTR, {'arch': arch, 'preset': 'det'}) for arch in STViTR.arch_zoo},
    **{f'stvitr-sparta-{arch}': (STViTR, {'arch': arch, 'sparta': True}) for arch in STViTR.arch_zoo},
}


def list_models(pattern: str = '*') -> list[str]:
    """Names for :func:`create_model` that match a shell pattern such as 'swin-s3-*', sorted."""
    return sorted(name for name in _MODELS if fnmatch(name, pattern))


def create_model(
    name: str, out_type: str = 'featmap', checkpoint: str | os.PathLike | None = None, **options: Any
) -> TokenBackbone:
    """Build a backbone, and load weights of any known source.

    Args:
        name: one of :func:`list_models`.
        out_type: 'featmap' for maps of strides 4 to 32, 'avg_featmap' for one vector, 'raw' for tokens. The model
            returns a tuple of them; ``forward_intermediates`` gives the output of any block.
        checkpoint: path or http(s) URL; what was loaded is logged. Without it the weights are random.
        **options: any of :class:`Swin`, :class:`SparseSwin` or :class:`STViTR`, which also override what the name
            stands for.

    Returns:
        The model in training mode, as every new module: call ``eval()`` before you use its features.

    Raises:
        InputError: an unknown name or option, or a checkpoint that does not fit.
    """
    if name not in _MODELS:
        raise InputError(f'model {name!r} is unknown; choose one of {list_models()}')
    cls, settings = _MODELS[name]
    model = cls(**settings | {'out_type': out_type} | options)
    if checkpoint is not None:
        model.init_cfg = {'type': 'Pretrained', 'checkpoint': checkpoint}
        model.init_weights()
    return model
