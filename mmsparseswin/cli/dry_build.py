"""Build what a config describes without data and memory, so that what is wrong in it is said before data is read."""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine import registry as root
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from mmsparseswin.cli.build_errors import naming
from mmsparseswin.cli.config_tree import LOADERS, children, walk
from mmsparseswin.cli.registered_classes import find_class
from mmsparseswin.cli.value_check import check_types
from mmsparseswin.errors import InputError

# Iterations of an epoch, unknown before data is read; many, so that no schedule ends before it begins.
_EPOCH = 1_000_000


def dry_build(cfg: Config) -> None:
    """Build model, optimizer, schedules, transforms and metrics of `cfg` from copies of their dicts.

    The model has no memory (it is on PyTorch's meta device) unless one of its parts needs real tensors.

    Raises:
        InputError: the key of what cannot be built, and the nearest right thing.
    """
    scope = cfg.get('default_scope')
    with _silence(), DefaultScope.overwrite_default_scope(scope):
        for key, node in _transforms(cfg):
            with naming(key, node, scope):
                root.TRANSFORMS.build(copy.deepcopy(node))
            if isinstance(scale := node.get('scale'), str):  # mmcv takes any
                raise InputError(f'{key}.scale is {scale!r}: it must be a number or (width, height), e.g. (1333, 800)')
        for key, node in _metrics(cfg):
            if isinstance(node, dict):
                check_types(key, node, find_class(scope, node.get('type'), [root.METRICS]))
            with naming(key, node, scope):
                options = copy.deepcopy(node)
                if 'ann_file' in options:
                    options['ann_file'] = None  # it would be read
                root.METRICS.build(options)
        node = cfg.get('model')
        if not isinstance(node, dict):
            return
        with naming('model', node, scope):
            model = _build_model(node, cfg.get('data_preprocessor'))
        if isinstance(node := cfg.get('optim_wrapper'), dict) and 'optimizer' in node:
            with naming('optim_wrapper', node, scope):
                wrapper = build_optim_wrapper(model, _without_amp(copy.deepcopy(node)))
            if isinstance(wrapper, OptimWrapper):
                _build_schedules(cfg, wrapper, scope)


def _build_model(node: dict[str, Any], preprocessor: dict[str, Any] | None) -> nn.Module:
    def build() -> nn.Module:
        options = copy.deepcopy(node)
        if preprocessor is not None:
            options.setdefault('data_preprocessor', copy.deepcopy(preprocessor))
        return root.MODELS.build(options)

    try:
        with torch.device('meta'):
            return build()
    except (InputError, KeyError, TypeError):
        raise
    except Exception:  # it may come from the meta device: only a real build tells
        with torch.random.fork_rng():
            return build()


def _without_amp(wrapper: dict[str, Any]) -> dict[str, Any]:
    """Return an AmpOptimWrapper's options as those of a plain one where there is no GPU, as tools/train.py does."""
    if wrapper.get('type') == 'AmpOptimWrapper' and get_device() == 'cpu':
        wrapper['type'] = 'OptimWrapper'
        for name in ('loss_scale', 'dtype', 'use_fsdp'):
            wrapper.pop(name, None)
    return wrapper


def _build_schedules(cfg: Config, wrapper: OptimWrapper, scope: str | None) -> None:
    entries = cfg.get('param_scheduler') or []
    length = cfg.get('train_cfg') or {}
    epochs = length.get('max_epochs') or 1
    for index, entry in enumerate(entries if isinstance(entries, (list, tuple)) else [entries]):
        key = f'param_scheduler.{index}' if isinstance(entries, (list, tuple)) else 'param_scheduler'
        with naming(key, entry, scope):
            options = copy.deepcopy(entry)
            end = epochs if options.get('by_epoch', True) else length.get('max_iters') or epochs * _EPOCH
            options.setdefault('end', end)  # as mmengine's Runner does
            root.PARAM_SCHEDULERS.build(options, default_args=dict(optimizer=wrapper, epoch_length=_EPOCH))


def _transforms(cfg: Config) -> Iterator[tuple[str, Any]]:
    """Yield the key and the dict of each transform of the loaders' pipelines."""
    for name in LOADERS:
        for key, node in walk(name, cfg.get(name)):
            if key.endswith('.pipeline') and isinstance(node, (list, tuple)):
                yield from ((place, one) for place, one in children(key, node) if not callable(one))


def _metrics(cfg: Config) -> Iterator[tuple[str, Any]]:
    for name in ('val_evaluator', 'test_evaluator'):
        node, key = cfg.get(name), name
        if isinstance(node, dict) and 'metrics' in node:
            node, key = node['metrics'], f'{name}.metrics'
        if isinstance(node, dict):
            yield key, node
        elif isinstance(node, (list, tuple)):
            yield from children(key, node)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep logs and warnings of the build back: the real one repeats them."""
    logger = MMLogger.get_current_instance()
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logger.disabled = before
