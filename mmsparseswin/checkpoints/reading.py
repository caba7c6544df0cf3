"""Read weights from files nobody vouches for: no code in them runs, and what cannot be read is named."""

import hashlib
import os
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from mmsparseswin.checkpoints.stand_ins import named_globals, stand_in
from mmsparseswin.errors import InputError

_WEIGHT_KEYS = ('state_dict', 'model', 'model_state', 'model_state_dict', 'teacher', 'network', 'net', 'weights')
_EMA_KEYS = ('ema_state_dict', 'state_dict_ema', 'model_ema', 'ema_model', 'ema')
_WRAPPERS = ('module.', '_orig_mod.')  # DistributedDataParallel, torch.compile
# What torch.save names for tensors alone.
_OF_TENSORS = re.compile(
    r'torch\.(\w*Storage|Size|device|\w*\d+)|torch\._utils\._rebuild_\w+|torch\.nn\.parameter\.Parameter'
    r'|collections\.OrderedDict|_codecs\.encode'
)
_HASH_IN_NAME = re.compile(r'-([0-9a-f]{8,64})\.')  # the habit of torchvision, mmdet and mmpretrain


@dataclass
class Checkpoint:
    """Weights as they are named in the file.

    Attributes:
        tensors: every weight, on the CPU; backed by the file itself where its format allows.
        notes: what was unwrapped, renamed or left in the file, for a report.
    """

    tensors: dict[str, Tensor]
    notes: list[str] = field(default_factory=list)


def read_checkpoint(source: str | os.PathLike | Mapping[str, Any], ema: bool = False) -> Checkpoint:
    """Read .pth, .pt, .bin or .safetensors, a path or an http(s) URL (kept in torch.hub's cache), or a loaded dict.

    Args:
        source: file, URL or dict; weights may lie under 'state_dict', 'model', 'teacher' and the like.
        ema: take the averaged weights that some training programs keep beside the last ones.

    Raises:
        InputError: nothing there, not a checkpoint, cut off, no tensors in it, or it would run code when unpickled.
    """
    if isinstance(source, Mapping):
        return _unwrap(source, ema, 'the given dict', [])
    path = _local_file(str(source))
    start = _first_bytes(path)
    notes: list[str] = []
    if start[8:9] == b'{':  # after the header's length
        return _unwrap(_read_safetensors(path), ema, str(path), notes)
    if start.startswith((b'PK', b'\x80')):
        return _unwrap(_read_torch(path, notes), ema, str(path), notes)
    raise InputError(f'{path} is not a checkpoint: it starts with {start[:16]!r}; download it again')


def _local_file(source: str) -> Path:
    scheme = source.split('://', 1)[0] if '://' in source else ''
    if scheme in ('http', 'https'):
        return _download(source)
    if scheme == 'file':
        source = unquote(urlparse(source).path)
    elif scheme:
        raise InputError(f'{source}: only http://, https:// and files are read; give the full URL or download it')
    path = Path(source).expanduser()
    if path.is_dir():
        raise InputError(f'{path} is a folder; name the checkpoint file in it')
    if not path.is_file():
        raise InputError(f'checkpoint {path} does not exist')
    return path


def _download(url: str) -> Path:
    name = Path(unquote(urlparse(url).path)).name
    if not name:
        raise InputError(f'{url} names no file')
    promised = _HASH_IN_NAME.search(name)
    if not promised:  # many places have a model.safetensors: one cache entry for each
        name = f'{hashlib.sha256(url.split("?")[0].encode()).hexdigest()[:8]}_{name}'
    cached = Path(torch.hub.get_dir()) / 'checkpoints' / name
    if cached.is_file():
        return cached
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(cached), promised[1] if promised else None, progress=False)
        _first_bytes(cached)
    except InputError:
        cached.unlink(missing_ok=True)  # a web page: the next run must not take it from the cache
        raise
    except (OSError, ValueError, RuntimeError) as e:
        raise InputError(
            f'{url} could not be downloaded: {e}. Fetch it elsewhere and put it at {cached}, name another file '
            '(--cfg-options model.backbone.init_cfg.checkpoint=FILE), or start at random (model.backbone.init_cfg=None)'
        ) from e
    return cached


def _first_bytes(path: Path) -> bytes:
    try:
        with open(path, 'rb') as file:
            start = file.read(512)
    except OSError as e:
        raise InputError(f'{path} cannot be read: {e.strerror}') from e
    if not start:
        raise InputError(f'{path} is empty')
    if start.lstrip().lower().startswith((b'<!doctype', b'<html')):
        raise InputError(f'{path} is a web page, not a checkpoint: download the file itself')
    if start.startswith(b'version https://git-lfs'):
        raise InputError(f'{path} is a git-lfs pointer, not the checkpoint: run `git lfs pull`')
    return start


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as e:
        raise InputError(f'{path} is corrupt or cut off ({e}); download it again') from e


def _read_torch(path: Path, notes: list[str]) -> Any:
    """``torch.load`` with ``weights_only``, other objects replaced by stand-ins; a crafted file may raise anything."""
    try:
        return _load(path)
    except pickle.UnpicklingError:
        pass  # it names more than tensors, or is no pickle at all
    except Exception as e:
        raise _unreadable(path, _first_line(e)) from e
    others = ''
    try:
        names = named_globals(path)
        others = ', '.join(sorted(name for name in names if not _OF_TENSORS.fullmatch(name)))
        with torch.serialization.safe_globals([stand_in(name) for name in names]):
            content = _load(path)
    except Exception as e:
        if not others:
            raise _unreadable(path, 'not what torch.save writes') from e
        raise InputError(
            f'{path} is refused: unpickling it would run code or build objects that are no weights ({others}). '
            'If you trust it, load it where it was made and save only model.state_dict()'
        ) from e
    notes.append(f'objects left unread: {others}')
    return content


def _unreadable(path: Path, reason: str) -> InputError:
    return InputError(f'{path} cannot be read as weights ({reason}); corrupt or cut off? download it again')


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0][:200]


def _load(path: Path) -> Any:
    with open(path, 'rb') as file:
        mappable = file.read(2) == b'PK'
    return torch.load(path, map_location='cpu', weights_only=True, mmap=mappable)


def _unwrap(content: Any, ema: bool, where: str, notes: list[str]) -> Checkpoint:
    if not isinstance(content, Mapping):
        raise InputError(f'{where} holds a {type(content).__name__} instead of a dict of tensors')
    keys = _EMA_KEYS if ema else _WEIGHT_KEYS
    found = next((key for key in keys if isinstance(content.get(key), Mapping)), None)
    if found is not None:
        beside = sorted(str(key) for key in content if key != found)
        notes.append(f'weights taken from {found!r}' + (f'; left in the file: {", ".join(beside)}' if beside else ''))
        return _unwrap(content[found], False, where, notes)
    if ema:
        raise InputError(f'{where} has no averaged weights: none of {list(_EMA_KEYS)} among {list(content)[:10]}')
    tensors: dict[str, Tensor] = {}
    others = []
    for name, value in content.items():
        if not isinstance(value, Tensor):
            others.append(str(name))
            continue
        short = _without_wrappers(str(name))
        if short in tensors:
            raise InputError(f'{where} names {short} twice, with and without a wrapper such as {_WRAPPERS[0]!r}')
        tensors[short] = value.detach()
    if not tensors:
        more = ''.join(f'; {note}' for note in notes)
        raise InputError(f'{where} holds no tensors, only {list(content)[:10]}{more}; save model.state_dict()')
    if others:
        notes.append(f'not tensors, left in the file: {", ".join(sorted(others))}')
    return Checkpoint(tensors, notes)


def _without_wrappers(name: str) -> str:
    while name.startswith(_WRAPPERS):
        name = name.split('.', 1)[1]
    return name
