"""Describe a model in config.json, so that it can be built again: data, checked before anything is built from it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmsparseswin import __version__
from mmsparseswin.checkpoints.metadata import from_json, to_json
from mmsparseswin.errors import InputError
from mmsparseswin.hub.known_parts import STEPS, check_parts

CONFIG_FILE = 'config.json'
WEIGHTS_FILE = 'model.safetensors'
_VERSION = 'mmsparseswin_version'  # tells our config.json from those of others
_FILE = r'\w[\w.-]*\.(safetensors|pth)'


@dataclass
class ModelConfig:
    """A model and its weights.

    Attributes:
        model: config for a registry; of a backbone its class and the options it was given.
        scope: library whose names the config uses without a prefix, or None.
        classes: names in the order of labels; empty for a backbone.
        pipeline: steps that prepare one picture; may be empty.
        weights: name of the file beside.
    """

    model: dict[str, Any]
    scope: str | None = None
    classes: tuple[str, ...] = ()
    pipeline: list[dict[str, Any]] = field(default_factory=list)
    weights: str = WEIGHTS_FILE

    def checked(self) -> 'ModelConfig':
        """Return it without files to start from, if building it runs no foreign code.

        Raises:
            InputError: see :func:`mmsparseswin.hub.known_parts.check_parts`; or a wrong scope, class or file name.
        """
        if not isinstance(self.model, Mapping) or 'type' not in self.model:
            raise InputError('model is no dict with a type')
        if self.scope not in (None, 'mmdet', 'mmpretrain', 'mmsparseswin'):
            raise InputError(f'default_scope is {self.scope!r:.80}: it must be mmdet, mmpretrain or null')
        if not _are_words(self.classes):
            raise InputError('classes are no list of names')
        if not isinstance(self.pipeline, Sequence) or not all(isinstance(step, Mapping) for step in self.pipeline):
            raise InputError('test_pipeline is no list of steps')
        if not isinstance(self.weights, str) or not re.fullmatch(_FILE, self.weights, re.ASCII):
            raise InputError(f'weights are {self.weights!r:.80}: it must be a .safetensors or .pth file of the folder')
        model = check_parts(self.model, 'model')
        pipeline = [check_parts(step, f'test_pipeline.{i}', STEPS) for i, step in enumerate(self.pipeline)]
        return ModelConfig(model, self.scope, tuple(self.classes), pipeline, self.weights)

    def to_text(self) -> str:
        """Return the content of config.json."""
        content: dict[str, Any] = {_VERSION: __version__, 'model': self.model, 'default_scope': self.scope}
        content |= {'classes': list(self.classes), 'test_pipeline': self.pipeline, 'weights': self.weights}
        return to_json(content, CONFIG_FILE, indent=2) + '\n'


def _are_words(names: Any) -> bool:
    return isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)


def read_config(text: str | bytes, where: str) -> ModelConfig | dict[str, Any]:
    """Return the checked content of a config.json of ours, or the plain content of one of another program.

    Raises:
        InputError: no JSON, or of ours but not to be built, see :meth:`ModelConfig.checked`.
    """
    content = from_json(text, where)
    if _VERSION not in content:
        return content
    names = {'model': 'model', 'default_scope': 'scope', 'classes': 'classes'}
    names |= {'test_pipeline': 'pipeline', 'weights': 'weights'}
    try:
        found = {ours: content[name] for name, ours in names.items() if name in content}
        return ModelConfig(**{'model': None, **found}).checked()
    except InputError as error:
        raise InputError(f'{where}: {error}') from None


def describe(model: Any, cfg: Mapping[str, Any] | None = None) -> ModelConfig:
    """Return the config of a model that :func:`read_config` will take back.

    Args:
        model: a backbone of ours, or a detector or classifier.
        cfg: the whole config of a detector or classifier, or its model; None: ``model.cfg``, which mmdet's
            ``init_detector`` and :func:`mmsparseswin.from_pretrained` leave there.

    Raises:
        InputError: no config, or one with parts that would not be built again.
    """
    if cfg is None and hasattr(model, 'given_options'):
        kind = type(model)
        options = {'type': f'mmsparseswin.{kind.__name__}', **model.given_options}
        return ModelConfig(options).checked()
    given: Any = getattr(model, 'cfg', None) if cfg is None else cfg
    plain = given.to_dict() if hasattr(given, 'to_dict') else given  # mmengine's Config is no Mapping
    if not isinstance(plain, Mapping):
        raise InputError(f'a {type(model).__name__} does not know its config: give config=')
    if 'model' not in plain:
        plain = {'model': plain}
    whole = dict(plain['model'])
    if plain.get('data_preprocessor'):
        whole.setdefault('data_preprocessor', plain['data_preprocessor'])  # as the Runner does
    loader = plain.get('test_dataloader') or {}
    pipeline = list((loader.get('dataset') or {}).get('pipeline') or ())
    meta = getattr(model, 'dataset_meta', None) or {}
    return ModelConfig(whole, plain.get('default_scope'), tuple(meta.get('classes') or ()), pipeline).checked()
