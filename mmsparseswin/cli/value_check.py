"""Check values of hooks, data sets, samplers and loops by the types that their classes declare, and by building."""

import copy
import inspect
import logging
import os
import types
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from mmengine import registry as root
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.hooks import EMAHook
from mmengine.registry import DefaultScope, Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmengine.runner.priority import get_priority
from torch import nn
from torch.utils.data import DataLoader

from mmsparseswin.backbones.options import check_whole
from mmsparseswin.cli.build_errors import naming
from mmsparseswin.cli.class_check import classes
from mmsparseswin.cli.config_tree import LOADERS
from mmsparseswin.cli.registered_classes import class_arguments, find_class, nearest
from mmsparseswin.errors import InputError

# Least values of whole numbers by name. The default of a class is right in any case: -1 is "never" for some.
_LEAST = {'interval': 1, 'max_keep_ckpts': 1, 'times': 1, 'window_size': 1, 'base_batch_size': 1}
_LEAST |= {'val_begin': 0, 'save_begin': 0, 'begin_iter': 0, 'begin_epoch': 0, 'max_refetch': 0, 'seed': 0}
_FILTERS = {'filter_empty_gt', 'min_size', 'bbox_min_size'}  # what filter_cfg means to mmdet's data sets
_NAMES = {bool: 'True or False', int: 'a whole number', float: 'a number', str: 'a word', dict: 'a dict'}
_CONTAINERS = (dict, list, tuple, Mapping, Sequence)
_PICTURES = range(1000)  # in place of a data set


def check_values(cfg: Config) -> None:
    """Check the values that building the model does not meet, all names being right.

    Raises:
        InputError: the key of the first wrong value, and what it takes.
    """
    scope = cfg.get('default_scope')
    check_types('', cfg, Runner)
    if isinstance(level := cfg.get('log_level'), str) and not isinstance(logging.getLevelName(level), int):
        raise InputError(f'log_level is {level!r}: choose one of DEBUG, INFO, WARNING, ERROR, CRITICAL')
    if (seed := (cfg.get('randomness') or {}).get('seed')) is not None:
        check_whole('randomness.seed', seed, 0)
    check_types('auto_scale_lr', cfg.get('auto_scale_lr') or {}, Runner.scale_lr)
    train = cfg.get('train_cfg') or {}
    if 'type' not in train:
        check_types('train_cfg', train, EpochBasedTrainLoop if train.get('by_epoch', True) else IterBasedTrainLoop)
    with DefaultScope.overwrite_default_scope(scope):
        for key, node, registry in classes(cfg):
            cls = find_class(scope, node['type'], [registry])
            check_types(key, node, cls)
            _check_filters(key, node.get('filter_cfg'))
            _build(key, node, registry, cls, scope)
        for name in LOADERS:
            if loader := cfg.get(name):
                check_types(name, loader, DataLoader)
                with naming(name, loader, scope), suppress(AttributeError):  # samplers that ask more of a data set
                    Runner.build_dataloader(dict(copy.deepcopy(loader), dataset=_PICTURES), seed=0)


def _build(key: str, node: dict[str, Any], registry: Registry, cls: Any, scope: str | None) -> None:
    """Build a hook, or a data set without its data."""
    options = copy.deepcopy(node)
    if registry.name == root.HOOKS.name:
        if 'priority' in options:
            _check_priority(key, options.pop('priority'))
        # A RuntimeError may come from a constructor that asks for a part of the Runner, such as the visualizer.
        with naming(key, node, scope), suppress(RuntimeError):
            hook = root.HOOKS.build(options)
            if isinstance(hook, EMAHook):
                root.MODELS.build(copy.deepcopy(hook.ema_cfg), default_args=dict(model=nn.Linear(1, 1)))
    elif inspect.isclass(cls) and issubclass(cls, BaseDataset) and 'lazy_init' in class_arguments(cls)[0]:
        # A list of classes or pictures that is not there is no matter of settings; the data check tells of it.
        with naming(key, node, scope), suppress(OSError, InputError):
            root.DATASETS.build(options | dict(lazy_init=True, pipeline=[]))


def _check_priority(key: str, value: Any) -> None:
    try:
        get_priority(value)
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f'{key}.priority is {value!r}: it must be a number from 0 to 100, or a word such as LOW or NORMAL'
        ) from None


def _check_filters(key: str, filters: Any) -> None:
    for word, value in (filters or {}).items():
        if word not in _FILTERS and (close := nearest(word, _FILTERS, 0.7)):
            raise InputError(f'{key}.filter_cfg has {word!r}, which has no effect; name it {close}')
        if word.endswith('min_size') and not (_is_number(value) and value >= 0):
            raise InputError(f'{key}.filter_cfg.{word} is {value!r}: it must be a number of pixels')


def check_types(key: str, node: Mapping[str, Any], function: Any) -> None:
    """Compare the options in `node` with the types that `function`, or the constructors of a class, declare.

    Only what is declared plainly is checked: numbers, words, flags, containers, and unions of them. None is right
    everywhere, and so is a list in place of a dict: libraries declare ``x: dict = None`` and take both.

    Raises:
        InputError: an option of another type, or a whole number that is too small.
    """
    declared: dict[str, tuple[Any, Any]] = {}  # name -> default, type
    for owner in reversed(getattr(function, '__mro__', [function])):
        called = vars(owner).get('__init__') if inspect.isclass(owner) else owner
        if called is None or owner is object:
            continue
        try:
            hints = typing.get_type_hints(called)
        except Exception:  # of names that only a type checker knows
            hints = inspect.get_annotations(called)
        for one in inspect.signature(called).parameters.values():
            declared[one.name] = one.default, hints.get(one.name)
    for name, value in node.items():
        default, hint = declared.get(name, (None, None))
        if name not in declared or value is None or _same(value, default):
            continue
        place = f'{key}.{name}' if key else name
        if not _fits(value, hint):
            raise InputError(f'{place} is {value!r}: it must be {_words(hint)}')
        if name in _LEAST and isinstance(value, int):
            check_whole(place, value, _LEAST[name])


def _fits(value: Any, hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in typing.get_args(hint))
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if hint is bool:
        return isinstance(value, bool) or value in (0, 1)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return _is_number(value)
    kind = origin or hint
    if kind is str:
        return isinstance(value, (str, os.PathLike))
    if kind in _CONTAINERS:  # libraries take one for another, and a word for a list of words
        return isinstance(value, (dict, list, tuple)) or (isinstance(value, str) and str in typing.get_args(hint)[-1:])
    return hint is not type(None)


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _words(hint: Any) -> str:
    """Name the type `hint` in plain English."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return ' or '.join(dict.fromkeys(_words(one) for one in typing.get_args(hint) if one is not type(None)))
    if typing.get_origin(hint) is typing.Literal:
        return f'one of {", ".join(map(repr, typing.get_args(hint)))}'
    kind = typing.get_origin(hint) or hint
    return _NAMES.get(kind, 'a list' if kind in _CONTAINERS else str(getattr(kind, '__name__', kind)))
