"""Check the options of dicts without a type, which libraries read by name: a misspelt one would change nothing.

What a library reads of ``train_cfg`` and ``test_cfg`` of a model is declared nowhere, so the names are taken from the
source of the model's classes, and only a word that looks like one of them is refused.
"""

import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from typing import Any

from mmengine import registry as root
from mmengine.config import Config
from mmengine.dist import init_dist
from mmengine.model import BaseModule
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing
from torch.distributed import init_process_group
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from mmsparseswin.cli.class_check import check_names, data_sets
from mmsparseswin.cli.config_tree import LOADERS, children, walk
from mmsparseswin.cli.registered_classes import class_arguments, find_class, nearest
from mmsparseswin.errors import InputError

_ENVIRONMENT = {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'}  # of Runner.setup_env
_SCALING = {'enable', 'base_batch_size'}  # of Runner.scale_lr
_CLIPPING = {'norm': clip_grad_norm_, 'value': clip_grad_value_}  # of mmengine's OptimWrapper
_FACTORS = {'lr_mult', 'decay_mult'}  # of mmengine's constructor of optimizers
_METAINFO = {'classes', 'palette'}
_PREFIXES = {'img', 'img_path', 'seg', 'seg_map_path', 'ann', 'anno', 'sub_data_root'}  # of mmdet and mmengine
_ALIKE = 0.75  # likeness from which a word is a misspelt name
_READ = re.compile(r"cfg_?(?:\.get\(\s*'(\w+)'|\.(\w+)|\[\s*'(\w+)'\]|,\s*'(\w+)')|'(\w+)' (?:not )?in \w*cfg")
_LIBRARIES = ('mmdet', 'mmpretrain', 'mmengine', 'mmsparseswin')
# Detectors that overwrite the settings of their heads by their own: head -> section of these.
_OVERWRITTEN = {
    'SingleStageDetector': {'bbox_head': ''},
    'DetectionTransformer': {'bbox_head': ''},
    'TwoStageDetector': {'rpn_head': '.rpn', 'roi_head': '.rcnn'},
}


def check_untyped(cfg: Config) -> None:
    """Check what the run itself reads, gradient clipping, data sets and the model's settings for training and test.

    Raises:
        InputError: the key of the first option that nothing reads, and the nearest right name.
    """
    environment = cfg.get('env_cfg') or {}
    if isinstance(environment, dict):
        check_names('env_cfg', environment, _ENVIRONMENT, "mmengine's Runner")
        _check_function('env_cfg.mp_cfg', environment.get('mp_cfg'), set_multi_processing)
        joining = class_arguments(init_dist)[0] | class_arguments(init_process_group)[0]
        check_names('env_cfg.dist_cfg', environment.get('dist_cfg') or {}, joining, 'init_dist', is_open=True)
    _check_function('randomness', cfg.get('randomness'), Runner.set_randomness)
    check_names('auto_scale_lr', cfg.get('auto_scale_lr') or {}, _SCALING, "mmengine's Runner")
    _check_optimizer(cfg.get('optim_wrapper') or {})
    _check_data_sets(cfg)
    if isinstance(model := cfg.get('model'), dict):
        _check_model(model, cfg.get('default_scope'))


def _check_function(key: str, node: Any, function: Any, also: Iterable[str] = ('type',)) -> None:
    if isinstance(node, dict):
        check_names(key, node, {*class_arguments(function)[0], *also}, function.__name__)


def _check_optimizer(wrapper: dict[str, Any]) -> None:
    clip = wrapper.get('clip_grad') or {}
    if function := _CLIPPING.get(clip.get('type', 'norm')):
        _check_function('optim_wrapper.clip_grad', clip, function)
    for word, factors in ((wrapper.get('paramwise_cfg') or {}).get('custom_keys') or {}).items():
        if isinstance(factors, dict):
            _check_alike(f'optim_wrapper.paramwise_cfg.custom_keys.{word}', factors, _FACTORS)


def _check_data_sets(cfg: Config) -> None:
    for name in LOADERS:
        loader = cfg.get(name) or {}
        for key, node, registry in data_sets(f'{name}.dataset', loader.get('dataset')):
            cls = find_class(cfg.get('default_scope'), node['type'], [registry])
            if getattr(cls, '__module__', '').partition('.')[0] not in _LIBRARIES:
                continue  # a class of the user reads what it likes
            for option, known in (
                ('metainfo', _METAINFO | set(getattr(cls, 'METAINFO', {}))),
                ('data_prefix', _PREFIXES),
            ):
                if isinstance(options := node.get(option), dict):
                    _check_alike(f'{key}.{option}', options, known)


def _check_alike(key: str, node: dict[str, Any], known: set[str]) -> None:
    """Refuse words that are like a known one; others may mean something to somebody."""
    for word in node:
        if isinstance(word, str) and word not in known and (close := nearest(word, known, _ALIKE)):
            raise InputError(f'{key} has {word!r}, which nothing reads; did you mean {close}? Correct the name')


def _check_initialiser(key: str, node: Any, cls: Any) -> None:
    """Refuse an ``init_cfg`` without a type, unless the class reads it in a way of its own."""
    inherited = getattr(cls, 'init_weights', None) is BaseModule.init_weights
    if node and (inherited or getattr(cls, '__module__', '').startswith('mmsparseswin')):
        for place, one in [(key, node)] if isinstance(node, dict) else children(key, node):
            if isinstance(one, dict) and 'type' not in one:
                raise InputError(f"{place} has no type: name its class, as in {place}=dict(type='Pretrained', ...)")


def _check_model(model: dict[str, Any], scope: str | None) -> None:
    classes: list[Any] = []
    for key, node in walk('model', model):
        if isinstance(node, dict) and 'type' in node:
            classes.append(cls := find_class(scope, node['type'], [root.MODELS]))
            _check_initialiser(f'{key}.init_cfg', node.get('init_cfg'), cls)
    detector: Any = next(iter(classes), None)
    for base in getattr(detector, '__mro__', ()):
        for head, section in _OVERWRITTEN.get(base.__name__, {}).items():
            for name in ('train_cfg', 'test_cfg'):
                if isinstance(node := model.get(head), dict) and node.get(name):
                    instead = f'model.{name}{section}'
                    raise InputError(
                        f'model.{head}.{name} has no effect: {detector.__name__} reads {instead}; set it there'
                    )
    built: list[Any] = [cls for cls in classes if inspect.isclass(cls)]
    known = {word for cls in built for word in _words_read(cls)}
    for key, node in walk('model', model):
        if not isinstance(node, dict) or not {'train_cfg', 'test_cfg'} & set(key.split('.')):
            continue
        if key.endswith('.nms') and node:
            _check_suppression(key, node)
        elif 'type' not in node:
            _check_alike(key, node, known)


def _check_suppression(key: str, node: dict[str, Any]) -> None:
    """Check the options of non-maximum suppression, which is looked up when the first picture is tested."""
    kind = node.get('type', 'nms')
    if not isinstance(kind, str):
        return
    operators = import_module('mmcv.ops.nms')  # mmcv.ops.nms by itself is a function
    if (function := getattr(operators, kind, None)) is None:
        raise InputError(f'{key}.type is {kind!r}: there is no such operator in mmcv.ops; choose nms or soft_nms')
    _check_function(key, node, function, ('type', 'class_agnostic', 'split_thr', 'max_num'))


@cache
def _words_read(cls: Any) -> frozenset[str]:
    """Return the names that the modules of a class and its bases read from dicts whose name ends in cfg."""
    modules = {base.__module__ for base in cls.__mro__ if base.__module__.partition('.')[0] in _LIBRARIES}
    return frozenset(word for module in modules for word in _words_in(module))


@cache
def _words_in(module: str) -> frozenset[str]:
    return frozenset(_matches(inspect.getsource(sys.modules[module])))


def _matches(text: str) -> Iterator[str]:
    for match in _READ.finditer(text):
        yield from filter(None, match.groups())
