"""Say in one line which key of a config the libraries could not build.

mmengine's and mmcv's builders name no key. The dicts that they were working on are still in the frames of the
exception's traceback: the innermost one that the config has, too, is the place.
"""

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine import registry as root
from mmengine.registry import Registry

from mmsparseswin.cli.config_tree import walk
from mmsparseswin.cli.registered_classes import class_arguments, find_class, suggest, suggest_class
from mmsparseswin.errors import InputError

_UNKNOWN = re.compile(r'is not in the .*registry|Cannot find .* in registry')
_UNEXPECTED = re.compile(r"got an unexpected keyword argument '(\w+)'")
_MISSING = re.compile(r'missing \d+ required .*arguments?: (.*)')
_LONGEST = 300  # characters of a library's message


@contextmanager
def naming(key: str, node: Any, scope: str | None) -> Iterator[None]:
    """Turn an exception while the part `key` of the config, `node`, is built into an InputError with the key.

    Args:
        key: place of `node` in the config, e.g. 'model'.
        node: the part as the config has it: a dict, or a list of such.
        scope: library whose classes need no prefix.

    Raises:
        InputError: any exception; the original one is its cause.
    """
    try:
        yield
    except Exception as error:
        raise InputError(_explain(error, key, node, scope)) from error


def _explain(error: Exception, key: str, node: Any, scope: str | None) -> str:
    text = ' '.join(str(error.args[0] if isinstance(error, KeyError) and error.args else error).split())
    top, built, registry = (key, node), None, root.MODELS
    for one, its_registry in _dicts_being_built(error):
        # Detectors hand their train_cfg and test_cfg down to their heads.
        key, node = _locate(key, node, one) or _locate(*top, one, exact=True) or (key, node)
        built, registry = one, its_registry or registry
    kind = built.get('type') if built is not None else None
    name = str(getattr(kind, '__name__', kind)).rpartition('.')[2]
    if isinstance(error, InputError):
        begins_with_option = isinstance(node, dict) and text.split(' ')[0].split('.')[0] in node
        return f'{key}.{text}' if begins_with_option else f'{key}: {text}'
    if isinstance(error, KeyError) and isinstance(kind, str) and _UNKNOWN.search(text):
        place = _leaf(key, node, kind) or _leaf(*top, kind) or f'{key}.type'
        return f'{place} is {kind!r}: there is no such {registry.name}{suggest_class(scope, kind, registry)}'
    if isinstance(error, KeyError) and built is not None and kind is None:
        return f"{key} has no type: name its class, as in {key}=dict(type='...')"
    if isinstance(error, TypeError) and (match := _UNEXPECTED.search(text)) and kind is not None:
        word = match.group(1)
        if not isinstance(node, dict) or word in node:
            known, _ = class_arguments(find_class(scope, kind))
            return f'{key} has the option {word!r}, which {name} does not take{suggest(word, known - {word})}'
    if isinstance(error, TypeError) and (match := _MISSING.search(text)) and kind is not None:
        return f'{key} lacks {match.group(1)}, which {name} needs'
    if isinstance(error, AssertionError) and not text:
        text = traceback.extract_tb(error.__traceback__)[-1].line or ''
    return (
        f'{key}{f" ({name})" if kind is not None else ""} cannot be built: {type(error).__name__}: '
        f'{text[:_LONGEST]}; MMSPARSESWIN_VERBOSE=1 shows the traceback'
    )


def _dicts_being_built(error: Exception) -> Iterator[tuple[dict[str, Any], Registry | None]]:
    """Yield the config dict and the registry of each builder in the traceback, the outermost first."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        cfg, registry = frame.f_locals.get('cfg'), frame.f_locals.get('registry')
        if frame.f_code.co_name.startswith('build') and isinstance(cfg, dict):
            yield cfg, registry if isinstance(registry, Registry) else None


def _locate(key: str, node: Any, wanted: dict[str, Any], exact: bool = False) -> tuple[str, Any] | None:
    """Find the dict `wanted`, or what it was made from, in `node`; return its key and the dict there.

    Libraries copy their dicts and add arguments: the most like one of the same type is taken, unless `exact`.
    """
    best, most = None, 0.0
    for place, one in walk(key, node):
        if one is wanted:
            return place, one
        if not isinstance(one, dict) or one.get('type') != wanted.get('type'):
            continue
        shared = sum(name in wanted and _same(wanted[name], value) for name, value in one.items())
        score = shared / max(len(one), 1) + 1e-3 * shared
        if score > most and not (exact and shared < len(one)):
            best, most = (place, one), score
    return best


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # arrays have no one answer
        return False


def _leaf(key: str, node: Any, value: str) -> str | None:
    """Return the key of the first string `value` in `node`."""
    return next((place for place, one in walk(key, node) if isinstance(one, str) and one == value), None)
