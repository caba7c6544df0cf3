"""Find misspelt `--cfg-options` before anything is built from the config."""

import difflib
import inspect
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from mmsparseswin.cli.config_tree import walk
from mmsparseswin.cli.registered_classes import class_arguments, find_class
from mmsparseswin.errors import InputError

# Top-level names that mean something to mmengine or to the tools even when the config does not mention them.
RUNNER_KEYS = {
    *inspect.signature(Runner.__init__).parameters,
    *('runner_type', 'custom_imports', 'find_unused_parameters', 'model_wrapper_cfg', 'sync_bn', 'compile'),
    *('tta_model', 'tta_pipeline', 'activation_checkpointing', 'efficient_conv_bn_eval', 'strategy'),
}


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
            known = RUNNER_KEYS if depth == 0 else set()
            close = difflib.get_close_matches(word, {*node, *known}, n=1, cutoff=0.75)
            # Below the top a new word may be an argument that the config leaves at its default.
            if is_last and depth > 0 and 'type' in node:
                close = _close_argument(cfg, node, word)
            elif is_last and depth > 0:
                close = []
            if word not in known and (depth == 0 or close):
                hint = f'; did you mean {".".join([*words[:depth], close[0]])}?' if close else ''
                if is_last and depth == 0 and (places := _places(cfg, word)):
                    hint = f'; did you mean {" or ".join(places)}?'
                raise InputError(f'--cfg-options {name}: the config has no {".".join(words[: depth + 1])}{hint}')
            return
        if node[word] is None and not is_last:
            node[word] = ConfigDict()  # mmengine merges nothing into None
        node = node[word]


def _places(cfg: Config, word: str) -> list[str]:
    """Return up to three keys of the sections that end in `word`, the shortest first."""
    keys = [key for name in cfg if name in RUNNER_KEYS for key, _ in walk(name, cfg[name]) if key.endswith(f'.{word}')]
    return sorted(keys, key=lambda key: key.count('.'))[:3]


def _close_argument(cfg: Config, node: dict[str, Any], word: str) -> list[str]:
    """Return the argument of the dict's class that `word` may stand for, if the class does not take `word` itself."""
    names, is_open = class_arguments(find_class(cfg.get('default_scope'), node['type']))
    return [] if is_open or word in names else difflib.get_close_matches(word, names, n=1, cutoff=0.75)
