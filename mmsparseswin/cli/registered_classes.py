"""Look up classes of a config in mmengine's registries, the arguments they take, and names like a given one."""

import difflib
import inspect
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from mmengine import registry as root
from mmengine.registry import Registry

from mmsparseswin.registry import LazyRegistry

# Where the class of a config dict may be registered.
_REGISTRIES = (
    *(root.MODELS, root.DATASETS, root.TRANSFORMS, root.METRICS, root.HOOKS, root.OPTIM_WRAPPERS, root.OPTIMIZERS),
    *(root.PARAM_SCHEDULERS, root.TASK_UTILS, root.LOOPS, root.VISUALIZERS, root.DATA_SAMPLERS, root.FUNCTIONS),
)


def find_class(scope: str | None, kind: Any, registries: Iterable[Registry] = _REGISTRIES) -> Any:
    """Return the class or function that `kind` names in one of `registries`, None if there is none.

    Args:
        scope: library that is asked first, the config's ``default_scope``.
        kind: ``type`` of a config dict; a class is returned as it is.
        registries: roots of the trees to search.
    """
    if not isinstance(kind, str):
        return kind
    for registry in registries:
        # A library that cannot be imported, or a name that is no class: building says so better.
        with suppress(Exception), registry.switch_scope_and_registry(scope) as scoped:
            if (found := scoped.get(kind)) is not None:
                return found
    return None


def class_arguments(cls: Any) -> tuple[set[str], bool]:
    """Return the names that the class or function takes, and True if it hands any name on to something unknown."""
    names: set[str] = set()
    for owner in getattr(cls, '__mro__', [cls]):
        function = vars(owner).get('__init__') if inspect.isclass(owner) else owner
        if function is None or owner is object:
            continue
        parameters = inspect.signature(function).parameters.values()
        names |= {one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
        if not any(one.kind is one.VAR_KEYWORD for one in parameters):
            return names - {'self'}, False
    return names - {'self'}, True


def required_arguments(cls: Any) -> list[str]:
    """Return the names that the class or function itself cannot do without."""
    parameters = inspect.signature(cls).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [one.name for one in parameters if one.default is one.empty and one.kind in kinds]


def nearest(word: str, known: Iterable[str], cutoff: float | None = None) -> str | None:
    """Return the name most like `word`, letters' case aside; None if none is like it.

    Args:
        word: what was given.
        known: names to choose from.
        cutoff: least likeness, of 1; by default 0.6, and 0.5 for words of up to three letters.
    """
    names = {name.lower(): name for name in sorted(known)}
    close = difflib.get_close_matches(word.lower(), names, 1, cutoff or (0.5 if len(word) <= 3 else 0.6))
    return names[close[0]] if close else None


def suggest(word: str, known: Iterable[str]) -> str:
    """Return ``'; did you mean X?'`` for the name most like `word`, or nothing."""
    close = nearest(word, known)
    return f'; did you mean {close}?' if close else ''


def suggest_class(scope: str | None, kind: str, registry: Registry) -> str:
    """Return ``'; did you mean X?'`` for the class of the tree of `registry` most like `kind`, or nothing.

    Classes of other libraries than `scope` and mmengine are given with the name of their library.
    """
    bare = kind.rpartition('.')[2]
    names: dict[str, str] = {}
    for one in _tree(registry.root):
        if isinstance(one, LazyRegistry):
            with suppress(ImportError):
                one.get(bare)  # imports all of its modules, as none has the name
        for name in one.module_dict:
            own = one.scope in (scope, 'mmengine')
            if own or name.lower() not in names:
                names[name.lower()] = name if own else f'{one.scope}.{name}'
    close = nearest(bare, names)
    return f'; did you mean {names[close]}?' if close else ''


def _tree(registry: Registry) -> Iterable[Registry]:
    yield registry
    for child in list(registry.children.values()):  # a lazy one may import a library that adds others
        yield from _tree(child)
