"""Find what is wrong in a config before data is read."""

import math
from importlib.util import find_spec
from typing import Any

from mmengine.config import Config

from mmsparseswin.backbones.options import check_whole
from mmsparseswin.cli.channel_check import check_channels
from mmsparseswin.cli.class_check import check_classes
from mmsparseswin.cli.config_tree import LOADERS
from mmsparseswin.cli.dry_build import dry_build
from mmsparseswin.cli.untyped_check import check_untyped
from mmsparseswin.cli.value_check import check_values
from mmsparseswin.errors import InputError


def check_settings(cfg: Config) -> None:
    """Check numbers of optimizer, loaders and length, names, arguments and values of all classes, then build in vain.

    Raises:
        InputError: the first wrong setting, with its key and what it takes.
    """
    _check_scope(cfg.get('default_scope'))
    wrapper = _section('optim_wrapper', cfg.get('optim_wrapper'))
    optimizer = _section('optim_wrapper.optimizer', wrapper.get('optimizer'))
    for key in ('lr', 'weight_decay'):
        _check_number(f'optim_wrapper.optimizer.{key}', optimizer.get(key))
    clip = _section('optim_wrapper.clip_grad', wrapper.get('clip_grad'))
    for key in ('max_norm', 'clip_value'):
        _check_number(f'optim_wrapper.clip_grad.{key}', clip.get(key))
    for name in LOADERS:
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
    check_classes(cfg)
    check_untyped(cfg)
    check_values(cfg)
    check_channels(cfg.get('model'), cfg.get('default_scope'))
    dry_build(cfg)


def _check_scope(scope: Any) -> None:
    libraries = [name for name in ('mmdet', 'mmpretrain', 'mmsparseswin', 'mmengine') if find_spec(name)]
    if scope is not None and not (isinstance(scope, str) and scope.isidentifier() and find_spec(scope)):
        raise InputError(f'default_scope is {scope!r}: no such library is installed; here are {", ".join(libraries)}')


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
