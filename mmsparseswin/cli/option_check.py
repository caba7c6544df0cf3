"""Find misspelt `--cfg-options` before anything is built from the config."""

import difflib
import inspect
from contextlib import suppress
from typing import Any

from mmengine import registry as root
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from mmsparseswin.errors import InputError

# Top-level names that mean something to mmengine or to the tools even when the config does not mention them.
_RUNNER_KEYS = {
    *inspect.signature(Runner.__init__).parameters,
    *('runner_type', 'custom_imports', 'find_unused_parameters', 'model_wrapper_cfg', 'sync_bn', 'compile'),
    *('tta_model', 'tta_pipeline'),
}
# Where the class of a config dict may be registered.
_REGISTRIES = (
    *(root.MODELS, root.DATASETS, root.TRANSFORMS, root.METRICS, root.HOOKS, root.OPTIM_WRAPPERS, root.OPTIMIZERS),
    *(root.PARAM_SCHEDULERS, root.TASK_UTILS, root.LOOPS, root.VISUALIZERS, root.DATA_SAMPLERS),
)


def prepare_option(cfg: Config, name: str) -> None:
    """Make `cfg` ready for the option `name` ('a.b.c').

    Raises:
        InputError: it names nothing: an unknown first word, or a later one that looks like a typing error.
    """
    node: Any = cfg._cfg_dict
    words = name.split('.')
    for depth, word in enumerate(words):
        is_last = depth == len(words) - 1
        if isinstance(node, (list, tuple)):
            if not word.isdigit() or int(word) >= len(node):
                place = '.'.join(words[:depth])
                raise InputError(f'--cfg-options {name}: {place} is a list of {len(node)}, {word!r} is no index of it')
            node = node[int(word)]
            continue
        if not isinstance(node, dict):
            return
        if word not in node:
            known = _RUNNER_KEYS if depth == 0 else set()
            close = difflib.get_close_matches(word, {*node, *known}, n=1, cutoff=0.75)
            # Below the top a new word may be an argument that the config leaves at its default.
            if is_last and depth > 0 and 'type' in node:
                close = _close_argument(cfg, node, word)
            elif is_last and depth > 0:
                close = []
            if word not in known and (depth == 0 or close):
                hint = f'; did you mean {".".join([*words[:depth], close[0]])}?' if close else ''
                raise InputError(f'--cfg-options {name}: the config has no {".".join(words[: depth + 1])}{hint}')
            return
        if node[word] is None and not is_last:
            node[word] = ConfigDict()  # mmengine merges nothing into None
        node = node[word]


def _close_argument(cfg: Config, node: dict[str, Any], word: str) -> list[str]:
    """Return the argument of the dict's class that `word` may stand for, if the class does not take `word` itself."""
    known = _arguments(_find_class(cfg, node['type']))
    return [] if known is None or word in known else difflib.get_close_matches(word, known, n=1, cutoff=0.75)


def _find_class(cfg: Config, kind: Any) -> Any:
    if not isinstance(kind, str):
        return kind
    for registry in _REGISTRIES:
        # A library that cannot be imported, or a name that is no class: building says so better.
        with suppress(Exception), registry.switch_scope_and_registry(cfg.get('default_scope')) as scoped:
            if (found := scoped.get(kind)) is not None:
                return found
    return None


def _arguments(cls: Any) -> set[str] | None:
    """Names that the class or function takes; None if it hands any name on to something unknown."""
    names: set[str] = set()
    for owner in getattr(cls, '__mro__', [cls]):
        function = vars(owner).get('__init__') if inspect.isclass(owner) else owner
        if function is None or owner is object:
            continue
        parameters = inspect.signature(function).parameters.values()
        names |= {one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
        if not any(one.kind is one.VAR_KEYWORD for one in parameters):
            return names
    return None
