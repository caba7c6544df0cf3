"""Write facts about weights (classes, config, training) as JSON and read them back: data, never code."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors

from mmsparseswin.errors import InputError

META_KEY = 'mmsparseswin'  # of the header of a safetensors file; its value is the JSON of `meta`
# What a meta may hold. Among others there would be `cfg` and `config`, which mmengine runs as Python.
META_NAMES = ('dataset_meta', 'config_data', 'training', 'mmsparseswin_version')
_TUPLE = '__tuple__'  # JSON has lists alone, and some options of mmdet and mmcv must be tuples


def is_safetensors(start: bytes) -> bool:
    """Return True if a file that starts with these bytes is one of safetensors: JSON after 8 bytes of its length."""
    return start[8:9] == b'{'


def to_json(value: Any, where: str, indent: int | None = None) -> str:
    """Return `value` as JSON from which :func:`from_json` makes an equal value, tuples included.

    Raises:
        InputError: `value` holds something that is no data, such as a class or a function; it is named.
    """
    return json.dumps(_encode(value, where), indent=indent, allow_nan=False)


def from_json(text: str | bytes, where: str) -> dict[str, Any]:
    """Return the dict that :func:`to_json` wrote.

    Raises:
        InputError: no JSON, or no dict.
    """
    try:
        value = json.loads(text, object_hook=_decode)
    except (ValueError, RecursionError) as error:  # bytes that are no text are a ValueError, too
        raise InputError(f'{where} is not JSON: {str(error)[:200]}') from error
    if not isinstance(value, dict):
        raise InputError(f'{where} holds a {type(value).__name__} instead of a dict')
    return value


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Return the `meta` that the header of a safetensors file holds, of other programs' files an empty one.

    Raises:
        InputError: corrupt, or a meta that is no JSON.
    """
    try:
        with safetensors.safe_open(str(path), 'pt') as file:
            words = file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f'{path} is corrupt or cut off ({error}); download it again') from error
    if META_KEY not in words:
        return {}
    meta = from_json(words[META_KEY], f'{path}, metadata {META_KEY!r}')
    return {name: meta[name] for name in META_NAMES if name in meta}


def _encode(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        odd = [key for key in value if not isinstance(key, str) or key == _TUPLE]
        if odd:
            raise InputError(f'{where} has the key {odd[0]!r}: keys must be words to be written as data')
        return {key: _encode(item, f'{where}.{key}') for key, item in value.items()}
    if isinstance(value, tuple):
        return {_TUPLE: [_encode(item, f'{where}.{i}') for i, item in enumerate(value)]}
    if isinstance(value, list):
        return [_encode(item, f'{where}.{i}') for i, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f'{where} is {value}: JSON has finite numbers alone')
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise InputError(f'{where} is a {type(value).__name__}, which cannot be written as data; give a name or numbers')


def _decode(found: dict[str, Any]) -> Any:
    return tuple(found[_TUPLE]) if list(found) == [_TUPLE] and isinstance(found[_TUPLE], list) else found
