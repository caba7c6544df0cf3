"""Make mmengine load every checkpoint through this package's reader, which runs no code of the file.

The Runner, its hooks, mmdet's and mmpretrain's inferencers and ``init_cfg=dict(type='Pretrained')`` all ask mmengine's
``CheckpointLoader``, which chooses a loader by the scheme of the path; here our reader is registered for each scheme.
Where a file comes from (a path, a URL, a name in mmengine's tables, S3) stays as it was.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.fileio import get_file_backend
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import (
    get_deprecated_model_names,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)

from mmsparseswin.checkpoints.cleaning import check_weights
from mmsparseswin.checkpoints.fetching import first_bytes, local_file
from mmsparseswin.checkpoints.metadata import is_safetensors, read_metadata
from mmsparseswin.checkpoints.reading import RefusedError, read_file
from mmsparseswin.errors import InputError

CONFIG_TEXT = 'config_text'  # what mmengine would run lies here, under `meta`


def install_safe_reader(trust: bool = False) -> None:
    """Make mmengine read every checkpoint of this process by :func:`read_training_file`.

    Args:
        trust: leave mmengine's own loading, which runs the code that a file may hold, and say so.
    """
    if trust:
        print_log('--trust-checkpoint: code in the checkpoint runs with your rights', logger='current', level=30)
        return
    for prefixes, loader in _LOADERS.items():
        CheckpointLoader.register_scheme(list(prefixes), loader, force=True)


def read_training_file(path: Path, map_location: Any = None) -> dict[str, Any]:
    """Read a checkpoint as mmengine's own loader would, as data alone.

    A config that old versions of mmengine kept as text in ``meta['config']``, which the Runner would run as Python,
    moves to ``meta['config_text']``.

    Returns:
        what the file holds: ``state_dict``, ``meta``, ``optimizer`` and so on, or weights alone. Of a safetensors file
        the tensors as ``state_dict``, and a ``meta`` of :func:`mmsparseswin.checkpoints.metadata.read_metadata`.

    Raises:
        InputError: see :func:`mmsparseswin.checkpoints.reading.read_file`; or no dict, weights that are not finite or
            have no names, a `meta` of the wrong type.
    """
    device = map_location if isinstance(map_location, str) or hasattr(map_location, 'type') else 'cpu'
    try:
        content, _ = read_file(path, copy=True, device=device)
    except RefusedError as error:
        raise InputError(f'{error}, or --trust-checkpoint') from error
    if is_safetensors(first_bytes(path)):
        content = {'meta': read_metadata(path), 'state_dict': content}
    if not isinstance(content, dict):
        raise InputError(f'{path} holds a {type(content).__name__} instead of a dict; save model.state_dict()')
    check_weights(content.get('state_dict', content), str(path), mixed='state_dict' not in content)
    if not any(_has_tensors(value) for value in [content, *content.values()]):
        raise InputError(f'{path} holds no weights, only {list(content)[:10]}; save model.state_dict()')
    if content.get('ema_state_dict') is not None:
        check_weights(content['ema_state_dict'], f'{path}, ema_state_dict')
    if 'meta' in content:
        _check_meta(content['meta'], path)
        if 'config' in content['meta']:
            content['meta'][CONFIG_TEXT] = content['meta'].pop('config')
    return content


def _has_tensors(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(item, torch.Tensor) for item in value.values())


def _check_meta(meta: Any, path: Path) -> None:
    if not isinstance(meta, dict):
        raise InputError(f'{path}: meta is a {type(meta).__name__} instead of a dict')
    dataset = meta.get('dataset_meta', {})
    if not isinstance(dataset, dict) or not all(isinstance(key, str) for key in dataset):
        raise InputError(
            f'{path}: meta.dataset_meta is a {type(dataset).__name__} instead of a dict with words as keys'
        )
    for where, classes in (('dataset_meta.classes', dataset.get('classes', ())), ('CLASSES', meta.get('CLASSES', ()))):
        if isinstance(classes, str) or (classes is not None and not _are_words(classes)):
            raise InputError(f'{path}: meta.{where} is no list of names')


def _are_words(classes: Any) -> bool:
    return isinstance(classes, (list, tuple)) and all(isinstance(name, str) for name in classes)


# mmengine logs the names of these functions without their first ten letters.
def load_from_local(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Read a file, or what a ``http(s)://`` URL names."""
    return read_training_file(local_file(filename), map_location)


def load_from_torchvision(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Read the weights of ``torchvision://NAME``."""
    return load_from_local(_listed(filename, get_torchvision_models()), map_location)


def load_from_openmmlab(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Read the weights of ``open-mmlab://NAME``."""
    name = filename.split('://', 1)[1]
    return load_from_local(_listed(get_deprecated_model_names().get(name, name), get_external_models()), map_location)


def load_from_mmcls(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Read the backbone of ``mmcls://NAME``."""
    content = load_from_local(_listed(filename, get_mmcls_models()), map_location)
    state = content.get('state_dict', content)
    return {'state_dict': {name[9:]: value for name, value in state.items() if name.startswith('backbone.')}}


def load_from_ceph(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Read a file of an ``s3://`` or ``petrel://`` store."""
    backend = get_file_backend(filename, backend_args={'backend': 'petrel'})
    with backend.get_local_path(filename) as path:
        return read_training_file(Path(path), map_location)


def load_from_pavi(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Refuse ``pavi://``, which hands out no file that could be read safely."""
    raise InputError(f'{filename}: download it and name the file')


def _listed(name: str, urls: dict[str, str]) -> str:
    name = name.split('://', 1)[-1]
    if name not in urls:
        raise InputError(f'{name} is no name in the table of weights; name a file or a URL')
    return urls[name]


_LOADERS: dict[tuple[str, ...], Callable[..., dict[str, Any]]] = {
    ('', 'http://', 'https://'): load_from_local,
    ('modelzoo://', 'torchvision://'): load_from_torchvision,
    ('open-mmlab://', 'openmmlab://'): load_from_openmmlab,
    ('mmcls://',): load_from_mmcls,
    (r'(\S+\:)?s3://', r'(\S+\:)?petrel://'): load_from_ceph,
    ('pavi://',): load_from_pavi,
}
