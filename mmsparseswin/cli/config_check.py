"""Find wrong numbers, hooks without a type and channels that do not fit in a config, before data is read."""

import math
from typing import Any

from mmengine.config import Config

from mmsparseswin.backbones.options import check_whole
from mmsparseswin.errors import InputError


def check_settings(cfg: Config) -> None:
    """Check numbers of optimizer, loaders and length, types of hooks and schedules, and channels between the parts.

    Raises:
        InputError: the first wrong setting, with its key and what it takes.
    """
    wrapper = _section('optim_wrapper', cfg.get('optim_wrapper'))
    optimizer = _section('optim_wrapper.optimizer', wrapper.get('optimizer'))
    for key in ('lr', 'weight_decay'):
        _check_number(f'optim_wrapper.optimizer.{key}', optimizer.get(key))
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = _section(name, cfg.get(name))
        for key, least in (('batch_size', 1), ('num_workers', 0)):
            if loader.get(key) is not None:
                check_whole(f'{name}.{key}', loader[key], least)
    train = _section('train_cfg', cfg.get('train_cfg'))
    for key in ('max_epochs', 'max_iters', 'val_interval'):
        if train.get(key) is not None:
            check_whole(f'train_cfg.{key}', train[key], 1)
    for key, hook in _section('default_hooks', cfg.get('default_hooks')).items():
        _check_type(f'default_hooks.{key}', hook)
    for name in ('custom_hooks', 'param_scheduler'):
        entries = cfg.get(name) or []
        for index, entry in enumerate(entries if isinstance(entries, (list, tuple)) else [entries]):
            _check_type(f'{name}.{index}', entry)
    _check_channels(cfg.get('model'))


def _check_channels(model: Any) -> None:
    """Compare ``neck.in_channels`` with what a backbone of ours puts out, built without memory."""
    import torch

    from mmsparseswin.backbones.base import is_backbone
    from mmsparseswin.registry import MODELS

    backbone, neck = (model.get(part) if isinstance(model, dict) else None for part in ('backbone', 'neck'))
    wanted = neck.get('in_channels') if isinstance(neck, dict) else None
    if not isinstance(wanted, (list, tuple)) or not isinstance(backbone, dict) or not is_backbone(backbone):
        return
    with torch.device('meta'):
        given = MODELS.build(backbone).out_channels
    if tuple(wanted) != tuple(given):
        kind = str(backbone['type']).rpartition('.')[2]
        raise InputError(
            f'model.neck.in_channels is {list(wanted)}, but {kind} with these options puts out {list(given)}: '
            'set in_channels to that, or change arch or out_indices of model.backbone'
        )


def _section(key: str, value: Any) -> dict[str, Any]:
    """Return the dict ``value``, an empty one for None."""
    if value is not None and not isinstance(value, dict):
        raise InputError(f'{key} is {value!r}: it must be a dict')
    return value or {}


def _check_number(key: str, value: Any) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is not None and not (is_number and math.isfinite(value) and value >= 0):
        raise InputError(f'{key} is {value!r}: it must be a number of at least 0, e.g. 1e-4 or 0.0001')


def _check_type(key: str, entry: Any) -> None:
    if isinstance(entry, dict) and 'type' not in entry:
        raise InputError(f"{key} has no type: name its class, as in {key}=dict(type='...')")
