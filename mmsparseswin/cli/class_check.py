"""Check names and arguments of the classes of a config that cannot be built before data is read."""

import os
from collections.abc import Iterator
from typing import Any

from mmengine import registry as root
from mmengine.config import Config
from mmengine.registry import DefaultScope, Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch.utils.data import DataLoader

from mmsparseswin.cli.config_tree import LOADERS, children, walk
from mmsparseswin.cli.registered_classes import (
    class_arguments,
    find_class,
    nearest,
    required_arguments,
    suggest,
    suggest_class,
)
from mmsparseswin.errors import InputError

_LOADER_KEYS = {*class_arguments(DataLoader)[0], 'num_batch_per_epoch'}  # the last is mmengine's
# Of mmengine's constructor, which ignores others, and of those that extend it.
_PARAMWISE = {
    *('custom_keys', 'norm_decay_mult', 'bias_decay_mult', 'bias_lr_mult', 'dwconv_decay_mult', 'dcn_offset_lr_mult'),
    *(
        'flat_decay_mult',
        'bypass_duplicate',
        'layer_decay',
        'layer_decay_rate',
        'decay_rate',
        'decay_type',
        'num_layers',
    ),
}
# What mmengine's Runner gives or takes by itself, by registry.
_GIVEN = {
    root.LOOPS.name: {'runner', 'dataloader', 'evaluator'},
    root.DATA_SAMPLERS.name: {'dataset', 'sampler', 'batch_size', 'seed'},
    root.HOOKS.name: {'priority'},
    root.VISUALIZERS.name: {'name', 'vis_backends', 'save_dir'},
    root.VISBACKENDS.name: {'save_dir'},
    root.OPTIM_WRAPPERS.name: {'optimizer', 'constructor', 'paramwise_cfg'},
    root.OPTIMIZERS.name: {'params'},
    root.WEIGHT_INITIALIZERS.name: {'override'},
    root.EVALUATOR.name: {'metrics'},
    root.FUNCTIONS.name: {'data_batch', 'batch', 'worker_id'},
}
_Found = tuple[str, Any, Registry]  # key, dict, where its class is registered


def check_classes(cfg: Config) -> None:
    """Check data sets, samplers, loaders, loops, hooks and visualizers: known classes, known and sufficient arguments.

    Raises:
        InputError: the key of the first that is wrong, and the nearest right name.
    """
    scope = cfg.get('default_scope')
    with DefaultScope.overwrite_default_scope(scope):
        for name in LOADERS:
            if loader := cfg.get(name):
                check_names(name, loader, _LOADER_KEYS, 'a data loader')
        for key, node, registry in classes(cfg):
            _check_class(key, node, registry, scope)
        wrapper = cfg.get('optim_wrapper') or {}
        if options := wrapper.get('paramwise_cfg'):
            check_names('optim_wrapper.paramwise_cfg', options, _PARAMWISE, 'its constructor', is_open=True)
        train = cfg.get('train_cfg') or {}
        if 'type' not in train:
            loop = EpochBasedTrainLoop if train.get('by_epoch', True) else IterBasedTrainLoop
            check_names('train_cfg', train, {*class_arguments(loop)[0], 'by_epoch'}, loop.__name__)


def _check_class(key: str, node: dict[str, Any], registry: Registry, scope: str | None) -> None:
    kind = node['type']
    cls = find_class(scope, kind, [registry])
    if cls is None:
        hint = suggest_class(scope, kind, registry)
        raise InputError(f'{key}.type is {kind!r}: there is no such {registry.name}{hint}')
    if not callable(cls):
        raise InputError(f'{key}.type is {kind!r}: it must be the name of a class')
    given = _GIVEN.get(registry.name, set())
    names, is_open = class_arguments(cls)
    check_names(key, node, {*names, *given, 'type', '_scope_'}, cls.__name__, is_open)
    if lacking := [name for name in required_arguments(cls) if name not in node and name not in given]:
        raise InputError(f'{key} lacks {", ".join(map(repr, lacking))}, which {cls.__name__} needs')


def check_names(key: str, node: dict[str, Any], known: set[str], owner: str, is_open: bool = False) -> None:
    """Refuse names of options that are not known; where the class is open, only those that look like typing errors.

    Args:
        key: place of `node` in the config.
        node: the options.
        known: names that `owner` takes.
        owner: who takes them, for the message.
        is_open: others may be taken, too.

    Raises:
        InputError: the first wrong name and the nearest right one.
    """
    for word in node:
        if word not in known and (not is_open or nearest(word, known, 0.85)):
            raise InputError(f'{key} has the option {word!r}, which {owner} does not take{suggest(word, known)}')


def classes(cfg: Config) -> Iterator[_Found]:
    """Yield key, dict and registry of all parts with a type that need data or a Runner to be built."""
    for name in LOADERS:
        loader = cfg.get(name) or {}
        yield from data_sets(f'{name}.dataset', loader.get('dataset'))
        yield from _typed(f'{name}.sampler', loader.get('sampler'), root.DATA_SAMPLERS)
        yield from _typed(f'{name}.batch_sampler', loader.get('batch_sampler'), root.DATA_SAMPLERS)
        yield from _typed(f'{name}.collate_fn', loader.get('collate_fn'), root.FUNCTIONS)
    for name in ('train_cfg', 'val_cfg', 'test_cfg'):
        yield from _typed(name, cfg.get(name), root.LOOPS)
    if isinstance(wrapper := cfg.get('optim_wrapper'), dict) and isinstance(wrapper.get('optimizer'), dict):
        yield from _typed('optim_wrapper', wrapper, root.OPTIM_WRAPPERS)
        yield from _typed('optim_wrapper.optimizer', wrapper['optimizer'], root.OPTIMIZERS)
    yield from _initialisers(cfg.get('model'))
    for name in ('default_hooks', 'custom_hooks'):
        yield from _each(name, cfg.get(name), root.HOOKS)
    for name in ('val_evaluator', 'test_evaluator'):
        if isinstance(evaluator := cfg.get(name), dict) and 'metrics' in evaluator:
            yield from _typed(name, evaluator, root.EVALUATOR)  # else the metric itself
    visualizer = cfg.get('visualizer')
    yield from _typed('visualizer', visualizer, root.VISUALIZERS)
    if isinstance(visualizer, dict):
        yield from _each('visualizer.vis_backends', visualizer.get('vis_backends'), root.VISBACKENDS)
    yield from _typed('log_processor', cfg.get('log_processor'), root.LOG_PROCESSORS)


def _typed(key: str, node: Any, registry: Registry) -> Iterator[_Found]:
    """Yield `node` if it is a dict with a type."""
    if isinstance(node, dict) and 'type' in node:
        yield key, node, registry


def _each(key: str, node: Any, registry: Registry) -> Iterator[_Found]:
    """Yield `node`, or else its entries, if they are dicts with a type."""
    if isinstance(node, dict) and 'type' in node:
        yield key, node, registry
    else:
        for name, one in children(key, node):
            yield from _typed(name, one, registry)


def _initialisers(model: Any) -> Iterator[_Found]:
    """Yield the dicts of all ``init_cfg`` in a model."""
    for key, node in walk('model', model):
        if key.endswith('.init_cfg'):
            yield from _each(key, node, root.WEIGHT_INITIALIZERS)


def check_pretrained_files(cfg: Config) -> None:
    """Look for the local files that ``init_cfg=dict(type='Pretrained')`` names in the model.

    Raises:
        InputError: a file is not there.
    """
    for key, node, _ in _initialisers(cfg.get('model')):
        path = node.get('checkpoint')
        if isinstance(path, str) and '://' not in path and not os.path.exists(path):
            raise InputError(f'{key}.checkpoint is {path!r}: there is no such file; name one, or set {key}=None')


def data_sets(key: str, node: Any) -> Iterator[_Found]:
    """Yield key, dict and registry of a data set and of the data sets that it wraps.

    Raises:
        InputError: one of them has no type.
    """
    if isinstance(node, (list, tuple)):
        for name, one in children(key, node):
            yield from data_sets(name, one)
    elif isinstance(node, dict):
        if 'type' not in node:
            raise InputError(f"{key} has no type: name its class, as in {key}=dict(type='...')")
        yield key, node, root.DATASETS
        for name in ('dataset', 'datasets'):
            yield from data_sets(f'{key}.{name}', node.get(name))
