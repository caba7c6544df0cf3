"""Every published model by name, for features in one call without a config file."""

import os
from fnmatch import fnmatch
from typing import Any

from mmsparseswin.backbones.base import TokenBackbone
from mmsparseswin.errors import InputError
from mmsparseswin.registry import backbone_classes


def _models() -> dict[str, tuple[type[TokenBackbone], dict[str, Any]]]:
    """Return name -> class and its options."""
    return {name: (cls, options) for cls in backbone_classes() for name, options in cls.models().items()}


def list_models(pattern: str = '*') -> list[str]:
    """Return the names for :func:`create_model` that match a shell pattern such as 'swin-s3-*', sorted."""
    return sorted(name for name in _models() if fnmatch(name, pattern))


def create_model(
    name: str, out_type: str = 'featmap', checkpoint: str | os.PathLike | None = None, **options: Any
) -> TokenBackbone:
    """Build a backbone, and load weights of any known source.

    Args:
        name: one of :func:`list_models`.
        out_type: 'featmap' for maps of strides 4 to 32, 'avg_featmap' for one vector, 'raw' for tokens. The model
            returns a tuple of them; ``forward_intermediates`` gives the output of any block.
        checkpoint: path or http(s) URL; what was loaded is logged. Without it the weights are random.
        **options: any of the backbone's class; they also override what the name stands for.

    Returns:
        The model in training mode, as every new module: call ``eval()`` before you use its features.

    Raises:
        InputError: an unknown name or option, or a checkpoint that does not fit.
    """
    models = _models()
    if name not in models:
        raise InputError(f'model {name!r} is unknown; choose one of {list_models()}')
    cls, settings = models[name]
    model = cls(**settings | {'out_type': out_type} | options)
    if checkpoint is not None:
        model.init_cfg = {'type': 'Pretrained', 'checkpoint': checkpoint}
        model.init_weights()
    return model
