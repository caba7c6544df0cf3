"""Turn what was unpickled into plain data: fresh containers, dense tensors, nothing cyclic or out of proportion."""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmsparseswin.checkpoints.safe_unpickling import is_stand_in
from mmsparseswin.checkpoints.training_objects import Array, History
from mmsparseswin.errors import InputError

_DEPTH = 100
_ITEMS = 5_000_000  # what a walk that follows every reference would meet
_SLACK = 2**20
_PLAIN = (str, bytes, int, float, complex, bool, type(None), np.generic, torch.Size, torch.dtype, torch.device)
_KEYS = (str, bytes, int, float, bool, type(None))
_LEFT_OUT = (torch.storage.TypedStorage, torch.UntypedStorage, torch.layout)
_SHOWN = 3


def clean(
    content: Any, where: str, file_size: int, copy: bool, device: Any = 'cpu', sizes: Counter[int] | None = None
) -> tuple[Any, int]:
    """Return `content` as plain data, and how many objects were left out because they are none.

    Args:
        content: what a restricted unpickler built.
        where: the file, for messages.
        file_size: its bytes; tensors of much more are refused.
        copy: give tensors their own memory, for files that are mapped and may be written while the tensors are in use.
        device: where copied tensors go.
        sizes: bytes of the members of a mapped file. torch compares none with what it takes from it for a tensor, which
            may be the start of the next member.

    Raises:
        InputError: nested in itself or too deep, keys that are no words or numbers, or tensors that are not plain.
    """
    cleaner = _Cleaner(where, file_size, copy, device)
    result, _ = cleaner.clean(content, '', 0)
    if sizes is not None and cleaner.sizes() - sizes:
        odd = ', '.join(str(size) for size in list(cleaner.sizes() - sizes)[:_SHOWN])
        raise InputError(f'{where} is corrupt: it has no part of the {odd} bytes that tensors need; download it again')
    return result, cleaner.left_out


class _Cleaner:
    def __init__(self, where: str, file_size: int, copy: bool, device: Any) -> None:
        self.where, self.copy, self.device = where, copy, device
        self.budget = 2 * file_size + _SLACK
        self.left_out = 0
        self._done: dict[int, tuple[Any, int]] = {}  # id -> copy, items in it
        self._open: set[int] = set()
        self._storages: dict[tuple[int, int], torch.UntypedStorage] = {}

    def sizes(self) -> Counter[int]:
        return Counter(size for _, size in self._storages if size)

    def clean(self, value: Any, name: str, depth: int) -> tuple[Any, int]:
        if type(value) in _PLAIN or isinstance(value, np.generic):
            return value, 1
        key = id(value)
        if key in self._done:
            return self._done[key]
        if key in self._open or depth > _DEPTH:
            how = 'contains itself' if key in self._open else f'is nested more than {_DEPTH} deep'
            raise InputError(f'{self.where}: {name[:80]} {how}, which no training writes')
        self._open.add(key)
        try:
            result = self._build(value, name, depth)
        except (TypeError, ValueError, RuntimeError) as error:
            raise (
                error
                if isinstance(error, InputError)
                else InputError(f'{self.where}: {name or "the content"} is {str(error).splitlines()[0]}')
            ) from error
        self._open.discard(key)
        self._done[key] = result
        if result[1] > _ITEMS:
            raise InputError(f'{self.where}: {name} unfolds to more than {_ITEMS:,} items, which no training writes')
        return result

    def _build(self, value: Any, name: str, depth: int) -> tuple[Any, int]:
        if isinstance(value, Tensor):
            return self._tensor(value, name), 1
        if isinstance(value, Array):
            return value.to_numpy(), 1
        if isinstance(value, History):
            return value.to_buffer(), 1
        if isinstance(value, dict):
            return self._dict(value, name, depth)
        if type(value) in (list, tuple, set, frozenset):
            items = [self.clean(item, f'{name}[{i}]', depth + 1) for i, item in enumerate(value)]
            return type(value)(item for item, _ in items), 1 + sum(count for _, count in items)
        if is_stand_in(value) or isinstance(value, _LEFT_OUT) or callable(value):
            self.left_out += 1
            return None, 1
        raise TypeError(f'a {type(value).__name__}, which no training writes')

    def _dict(self, value: dict[Any, Any], name: str, depth: int) -> tuple[dict[Any, Any], int]:
        # Methods of the base class: the attributes of a pickled OrderedDict may hide its own.
        result: dict[Any, Any] = OrderedDict() if isinstance(value, OrderedDict) else {}
        count = 1
        for key, item in dict.items(value):
            if not _is_key(key):
                raise TypeError(f'a dict with a {type(key).__name__} as a key')
            result[key], more = self.clean(item, f'{name}.{key}' if name else str(key), depth + 1)
            count += 1 + more
        metadata = vars(value).get('_metadata') if isinstance(value, OrderedDict) else None
        if isinstance(metadata, dict):  # the versions that state-dict hooks ask for
            result._metadata, more = self.clean(metadata, f'{name}._metadata', depth + 1)  # type: ignore[attr-defined]
            count += more
        if type(value) is Counter:
            result = Counter(result)
        return result, count

    def _tensor(self, tensor: Tensor, name: str) -> Tensor:
        plain = torch.Tensor.detach(tensor)  # without the attributes that a file may have set
        if kind := _odd_kind(plain):
            raise ValueError(f'a {kind} tensor; weights are dense numbers in main memory: save them as such')
        storage = plain.untyped_storage()
        key = (storage.data_ptr(), storage.nbytes())
        if key not in self._storages:
            self.budget -= storage.nbytes()
            if self.budget < 0 or plain.numel() * plain.element_size() > storage.nbytes() + _SLACK:
                raise ValueError(f'a tensor of shape {tuple(plain.shape)}, more than the file has bytes for')
            self._storages[key] = storage.clone() if self.copy else storage
        elif plain.numel() * plain.element_size() > storage.nbytes() + _SLACK:
            raise ValueError(f'a tensor of shape {tuple(plain.shape)}, more than the file has bytes for')
        if self.copy:
            view = torch.empty(0, dtype=plain.dtype)
            plain = view.set_(self._storages[key], plain.storage_offset(), plain.size(), plain.stride())
            if str(self.device) != 'cpu':
                plain = plain.to(self.device)
        return plain


def _odd_kind(tensor: Tensor) -> str:
    if tensor.is_quantized:
        return 'quantized'
    if tensor.layout is not torch.strided:
        return 'sparse'
    if tensor.is_complex():
        return 'complex'
    return '' if tensor.device.type == 'cpu' else f'{tensor.device.type}-device'


def _is_key(key: Any) -> bool:
    return type(key) in _KEYS or (type(key) is tuple and len(key) < 10 and all(type(part) in _KEYS for part in key))


def check_weights(state: Any, where: str, mixed: bool = False) -> None:
    """Check that `state` maps names to tensors of finite numbers; if `mixed`, to other things, too.

    Raises:
        InputError: it does not; says how many tensors are not finite, and which.
    """
    if not isinstance(state, Mapping):
        raise InputError(f'{where} holds a {type(state).__name__} instead of a dict of tensors')
    unnamed = [key for key in state if not isinstance(key, str)]
    if unnamed:
        raise InputError(f'{where}: names of weights must be words, and one is {unnamed[0]!r}')
    others = [] if mixed else [name for name, value in state.items() if not isinstance(value, Tensor)]
    others = [name for name in others if not name.endswith('_extra_state')]  # torch's name for what a module adds
    if others:
        raise InputError(f'{where}: {others[0]} is a {type(state[others[0]]).__name__} instead of a tensor')
    check_finite(((name, value) for name, value in state.items() if isinstance(value, Tensor)), where)


def check_finite(tensors: Iterable[tuple[str, Tensor]], where: str) -> None:
    """Check the numbers.

    Raises:
        InputError: NaN or Inf among them; says in how many tensors, and in which.
    """
    total, bad = 0, []
    for name, tensor in tensors:
        if tensor.is_floating_point():
            total += 1
            if not _is_finite(tensor):
                bad.append(name)
    if bad:
        more = ', ...' if len(bad) > _SHOWN else ''
        raise InputError(
            f'{where}: {len(bad)} of {total} tensors are not finite (NaN or Inf: {", ".join(bad[:_SHOWN])}{more}); '
            'the training diverged or the file is damaged: take an older checkpoint'
        )


def _is_finite(tensor: Tensor) -> bool:
    if tensor.element_size() == 1:  # float8, of which torch compares nothing
        tensor = tensor.float()
    return bool(torch.isfinite(tensor).all())
