"""Make a config for predictions from what weights carry with them: a folder, a hub, or a checkpoint."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import CheckpointLoader

from mmsparseswin.errors import InputError
from mmsparseswin.hub.model_config import CONFIG_FILE, ModelConfig, describe, read_config
from mmsparseswin.hub.remote import find_files

_WEIGHTS = ('.pth', '.safetensors')
_READ = ('default_scope', 'model', 'data_preprocessor', 'test_dataloader')


def open_carried(name: str) -> tuple[Config, str]:
    """Return a config that predicts, and the file of the weights.

    The config holds the model, the preparation of pictures and the names of classes. It is read as data, and only of
    parts that are known to run no foreign code.

    Args:
        name: a folder of ``save_pretrained`` or ``publish.py``, 'org/name' on a hub, or a checkpoint that holds the
            config it was trained with, as those of a training do.

    Raises:
        InputError: nothing there, no config in it, or one with other parts.
    """
    path = Path(name).expanduser()
    if path.suffix in _WEIGHTS:
        if not path.is_file():
            raise InputError(f'no checkpoint at {path}')
        content = CheckpointLoader.load_checkpoint(str(path), map_location='cpu', logger='silent')
        return _config(_of_checkpoint(content.get('meta') or {}, name), name), str(path)
    fetch = find_files(name)
    described = fetch(CONFIG_FILE)
    found = described and read_config(described.read_bytes(), f'{name}, {CONFIG_FILE}')
    if not isinstance(found, ModelConfig):
        raise InputError(f'{name} has no {CONFIG_FILE} of MMSparseSwin; load(CONFIG, weights=FILE) takes any weights')
    weights = fetch(found.weights)
    if weights is None:
        raise InputError(f'{name} has no {found.weights}, which its {CONFIG_FILE} names')
    return _config(found, name), str(weights)


def _of_checkpoint(meta: Mapping[str, Any], where: str) -> ModelConfig:
    """Return the config of a checkpoint's meta: the data of ``publish.py``, or the text of a training."""
    data = meta.get('config_data')
    if data is None and isinstance(meta.get('cfg'), str):
        data = _read_text(meta['cfg'], where)
    if not isinstance(data, Mapping):
        raise InputError(f'{where} holds no config: load(CONFIG, weights={where!r})')
    found = describe(None, data)
    found.classes = tuple((meta.get('dataset_meta') or {}).get('classes') or ())
    return found.checked()


def _config(found: ModelConfig, where: str) -> Config:
    if found.scope not in ('mmdet', 'mmpretrain') or not found.pipeline:
        raise InputError(f'{where} is a backbone or says nothing of its pictures: load(CONFIG, weights=FILE) predicts')
    kind = 'CocoDataset' if found.scope == 'mmdet' else 'CustomDataset'
    dataset = dict(type=kind, pipeline=found.pipeline, metainfo=dict(classes=found.classes))
    # What mmengine's inferencers ask for.
    kind = 'DetLocalVisualizer' if found.scope == 'mmdet' else 'UniversalVisualizer'
    parts = dict(model=found.model, test_dataloader=dict(dataset=dataset), visualizer=dict(type=kind))
    return Config(dict(default_scope=found.scope, **parts))


def _read_text(text: str, where: str) -> dict[str, Any]:
    """Return what predictions need of the text of a config, without running it.

    Raises:
        InputError: something that is neither a literal nor a ``dict(...)``.
    """
    try:
        statements = ast.parse(text).body
        named = {one.targets[0].id: one.value for one in statements}  # type: ignore[attr-defined]
        return {name: _value(named[name]) for name in _READ if name in named}
    except (SyntaxError, ValueError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        raise InputError(f'the config in {where} is not data ({error}): load(CONFIG, weights={where!r})') from None


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        if not (isinstance(node.func, ast.Name) and node.func.id == 'dict'):
            raise ValueError(f'line {node.lineno} calls something')
        values = {str(one.arg): _value(one.value) for one in node.keywords}
        for part in node.args:  # dict({'a b': 1}), where a key is no name
            values |= _value(part)
        return values
    if isinstance(node, ast.Dict):
        return {ast.literal_eval(key): _value(one) for key, one in zip(node.keys, node.values, strict=True) if key}
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [_value(one) for one in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    return ast.literal_eval(node)
