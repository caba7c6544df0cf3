"""Read weights from files nobody vouches for: no code in them runs, and what cannot be read is named."""

import os
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from mmsparseswin.checkpoints.archive import check_members, check_sums
from mmsparseswin.checkpoints.averaged import AVERAGED_KEYS, averaged_key, is_swapped, stored_key
from mmsparseswin.checkpoints.cleaning import check_finite, clean
from mmsparseswin.checkpoints.fetching import first_bytes, local_file
from mmsparseswin.checkpoints.limits import bounded
from mmsparseswin.checkpoints.metadata import is_safetensors
from mmsparseswin.checkpoints.pickled_modules import state_of_module
from mmsparseswin.checkpoints.safe_unpickling import replacements, scan
from mmsparseswin.checkpoints.training_objects import RefusalError
from mmsparseswin.errors import InputError

_WRAPPERS = ('module.', '_orig_mod.')  # DistributedDataParallel, torch.compile


class RefusedError(InputError):
    """A file that would run code, or that holds what no weights need."""


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
        ema: take the averaged weights that some training programs keep beside the last ones. Those of mmengine's
            EMAHook are taken in any case: it stores them as the checkpoint's weights.

    Raises:
        InputError: nothing there, not a checkpoint, cut off, no tensors in it, or it would run code when unpickled,
            or weights that are not finite.
    """
    if isinstance(source, Mapping):
        return _unwrap(source, ema, 'the given dict', [])
    path = local_file(str(source))
    content, notes = read_file(path, copy=False, modules=True)
    found = _unwrap(content, ema, str(path), notes)
    check_finite(found.tensors.items(), str(path))
    return found


def read_file(path: Path, copy: bool, device: Any = 'cpu', modules: bool = False) -> tuple[Any, list[str]]:
    """Read everything that a .pth, .pt, .bin or .safetensors holds as plain data, and notes for a report.

    Args:
        path: the file.
        copy: tensors own their memory instead of being mapped from the file.
        device: where copied tensors go.
        modules: take the tensors of a pickled module; else it is refused, since it is no training's checkpoint.

    Raises:
        RefusedError: it would run code when unpickled, or holds what no weights need.
        InputError: not a checkpoint, cut off, changed, or out of proportion.
    """
    start = first_bytes(path)
    if is_safetensors(start):
        tensors = _read_safetensors(path)
        return {name: tensor.to(device, copy=copy) for name, tensor in tensors.items()}, []
    if not start.startswith((b'PK', b'\x80')):
        raise InputError(f'{path} is not a checkpoint: it starts with {start[:16]!r}; download it again')
    zipped = start.startswith(b'PK')
    notes: list[str] = []
    sizes = None
    try:
        with bounded(path):
            if zipped:
                sizes = check_members(path)
                check_sums(path)
            content = _read_torch(path, zipped, notes)
        if modules:
            content = state_of_module(content, str(path))
    except (MemoryError, OSError) as error:
        raise _unreadable(path, _first_line(error)) from error
    content, left_out = clean(content, str(path), path.stat().st_size, copy and zipped, device, sizes)
    if content is None and left_out:
        raise InputError(f'{path} holds a pickled object instead of a dict of tensors; save model.state_dict()')
    return content, notes


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as e:
        raise InputError(f'{path} is corrupt or cut off ({e}); download it again') from e


def _read_torch(path: Path, zipped: bool, notes: list[str]) -> Any:
    """``torch.load`` with ``weights_only`` and what :func:`replacements` allows; a crafted file may raise anything."""
    try:
        found = scan(path)
    except InputError:
        raise
    except Exception as e:
        raise _unreadable(path, 'not what torch.save writes') from e
    others = ', '.join(found.others)
    try:
        with torch.serialization.safe_globals(replacements(found)), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # what it warns of is an error here, or harmless
            content = torch.load(path, map_location='cpu', weights_only=True, mmap=zipped)
    except InputError:
        raise
    except RefusalError as e:
        raise RefusedError(
            f'{path} is refused: unpickling it would run code or build objects that are no weights: {e}. '
            'If you trust it, load it where it was made and save only model.state_dict()'
        ) from e
    except pickle.UnpicklingError as e:
        if found.protocol > 2:
            raise _unreadable(path, f'pickle protocol {found.protocol}, torch.save writes 2') from e
        raise _unreadable(path, 'not what torch.save writes' + (f'; it names {others}' if others else '')) from e
    except Exception as e:
        raise _unreadable(path, _first_line(e)) from e
    if others:
        notes.append(f'objects left unread: {others}')
    return content


def _unreadable(path: Path, reason: str) -> InputError:
    return InputError(f'{path}: the checkpoint is corrupt or cut off ({reason}); copy or download it again')


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0][:200]


def _unwrap(content: Any, ema: bool, where: str, notes: list[str]) -> Checkpoint:
    if not isinstance(content, Mapping):
        raise InputError(f'{where} holds a {type(content).__name__} instead of a dict of tensors')
    found = averaged_key(content) if ema else stored_key(content)
    if found is not None:
        beside = sorted(str(key) for key in content if key != found)
        kind = 'averaged weights' if ema or is_swapped(content) else 'weights'
        notes.append(f'{kind} taken from {found!r}' + (f'; left in the file: {", ".join(beside)}' if beside else ''))
        return _unwrap(content[found], False, where, notes)
    if ema:
        raise InputError(f'{where} has no averaged weights: none of {list(AVERAGED_KEYS)} among {list(content)[:10]}')
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
