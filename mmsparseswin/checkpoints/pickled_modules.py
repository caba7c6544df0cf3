"""Take the tensors of a pickled ``nn.Module`` as its state dict, without its class: only plain data is read."""

from collections import OrderedDict
from typing import Any

from torch import Tensor

from mmsparseswin.errors import InputError

_DEPTH = 100
_MODULES = 100_000
_PARTS = ('_parameters', '_buffers', '_modules')


def state_of_module(content: Any, where: str) -> Any:
    """Return the state dict of a module, or ``content`` itself if it is none.

    The restricted unpickler puts an empty ``OrderedDict`` in the place of an object of an unknown class, and what the
    object held into the attributes of that.

    Args:
        content: what the restricted unpickler built.
        where: the file, for messages.

    Raises:
        InputError: the module holds itself, or more modules than any model has.
    """
    if not _is_module(content):
        return content
    found: dict[str, Tensor] = {}
    waiting = [('', content, 0)]
    count = 0
    while waiting:
        prefix, module, depth = waiting.pop()
        count += 1
        if depth > _DEPTH or count > _MODULES:
            raise InputError(f'{where}: {prefix[:80]} lies too deep in the pickled module, or holds itself')
        held = vars(module)
        passing = held.get('_non_persistent_buffers_set')
        for part in _PARTS[:2]:
            for name, value in _items(held[part]):
                if isinstance(value, Tensor) and not (
                    part == '_buffers' and isinstance(passing, set) and name in passing
                ):
                    found[prefix + name] = value
        # The last one waiting is the next, so that names come in the module's order.
        children = [(f'{prefix}{name}.', child, depth + 1) for name, child in _items(held['_modules'])]
        waiting += [child for child in reversed(children) if _is_module(child[1])]
    return found


def _is_module(value: Any) -> bool:
    return type(value) is OrderedDict and all(isinstance(vars(value).get(part), dict) for part in _PARTS)


def _items(held: dict[Any, Any]) -> list[tuple[str, Any]]:
    # Of the base class: attributes from the pickle may hide those of the object.
    return [(name, value) for name, value in dict.items(held) if isinstance(name, str)]
