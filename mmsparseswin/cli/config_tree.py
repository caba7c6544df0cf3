"""Walk over the values of a config, and name its data loaders."""

from collections.abc import Iterator
from typing import Any

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def walk(key: str, node: Any) -> Iterator[tuple[str, Any]]:
    """Yield (key, value) of `node` and of everything in it, outer values first; keys are as in --cfg-options."""
    yield key, node
    for name, value in children(key, node):
        yield from walk(name, value)


def children(key: str, node: Any) -> Iterator[tuple[str, Any]]:
    """Yield (key, value) of each entry of `node`, if it is a dict or a list."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    for name, value in pairs:
        yield f'{key}.{name}', value
