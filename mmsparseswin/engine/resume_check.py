"""Check the training state of a checkpoint before a Runner resumes from it.

What the file holds is data by now (:mod:`mmsparseswin.engine.safe_reader`), but the Runner acts on it: it deletes the
file that a checkpoint names as the best one so far, and sets attributes of schedulers.
"""

import ast
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer, print_log
from mmengine.runner import Runner

from mmsparseswin.engine.safe_reader import CONFIG_TEXT
from mmsparseswin.errors import InputError

_NUMBERS = ('lr', 'initial_lr', 'momentum', 'weight_decay', 'eps', 'alpha', 'dampening')


def check_training_state(checkpoint: dict[str, Any], runner: Runner) -> None:
    """Check types and what the Runner would act on; drop paths of files that are not this run's.

    Raises:
        InputError: no training state, or parts of it that no training writes; the first is named.
    """
    if not {'meta', 'message_hub', 'optimizer'} <= checkpoint.keys():
        raise InputError(
            'the checkpoint holds weights but no training state, so there is nothing to resume; '
            'start from its weights with --cfg-options load_from=FILE'
        )
    _check_meta(checkpoint['meta'])
    _check_optimizer(checkpoint['optimizer'])
    _check_schedulers(checkpoint.get('param_schedulers', []), runner)
    _check_message_hub(checkpoint['message_hub'])
    _drop_foreign_paths(checkpoint['message_hub']['runtime_info'], runner)


def previous_gpus(text: Any) -> int | None:
    """Return how many GPUs a config's text names in ``gpu_ids``, read as a literal and never run."""
    if not isinstance(text, str):
        return None
    try:
        for node in ast.parse(text).body:
            if isinstance(node, ast.Assign) and any(getattr(t, 'id', '') == 'gpu_ids' for t in node.targets):
                if match := re.fullmatch(r'range\((?:(\d+), )?(\d+)\)', ast.unparse(node.value)):
                    return int(match[2]) - int(match[1] or 0)
                return len(ast.literal_eval(node.value)) or None
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        pass
    return None


def _check_meta(meta: Any) -> None:
    _need(isinstance(meta, dict), 'meta is no dict')
    for name in ('epoch', 'iter'):
        value = meta.get(name)
        _need(type(value) is int and value >= 0, f'meta.{name} is {value!r:.40}, not a number of {name}s')
    seed = meta.get('seed')
    _need(seed is None or (type(seed) is int and 0 <= seed < 2**32), f'meta.seed is {seed!r:.40}')
    gpus = previous_gpus(meta.pop('config', None) or meta.get(CONFIG_TEXT))
    if gpus and gpus != get_world_size():
        print_log(f'the checkpoint is of a run on {gpus} GPUs, this one has {get_world_size()}', 'current', level=30)


def _check_optimizer(state: Any) -> None:
    _need(isinstance(state, dict), 'its optimizer is no dict')
    groups = state.get('param_groups')
    if groups is None:  # several optimizers
        _need(bool(state) and all(isinstance(one, dict) for one in state.values()), 'its optimizer has no param_groups')
        return
    _need(isinstance(state.get('state'), dict) and isinstance(groups, list), 'its optimizer has no state')
    for group in groups:
        _need(isinstance(group, dict) and isinstance(group.get('params'), list), 'its optimizer has broken groups')
        odd = [name for name in _NUMBERS if name in group and not _is_number(group[name])]
        _need(not odd, f'its optimizer has {odd[0] if odd else ""} that is no number')
    for one in state['state'].values():
        _need(isinstance(one, dict), 'its optimizer has broken states')


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, (int, float)) or hasattr(value, 'is_floating_point')


def _check_schedulers(states: Any, runner: Runner) -> None:
    # a list, or of several optimizers a dict of lists, as the runner has them
    _need(isinstance(states, (list, dict)), 'its param_schedulers are no list')
    ours = runner.param_schedulers if isinstance(runner.param_schedulers, (list, dict)) else []
    _need(not ours or not states or type(ours) is type(states), 'its param_schedulers are of another kind')
    pairs: Iterable[tuple[Any, Any]] = []
    if isinstance(states, dict) and isinstance(ours, dict):
        _need(set(states) >= set(ours), 'its param_schedulers are of other optimizers')
        pairs = [pair for name in ours for pair in zip(ours[name], states[name], strict=False)]
    elif isinstance(states, list) and isinstance(ours, list):
        pairs = zip(ours, states, strict=False)
    for scheduler, state in pairs:
        _need(isinstance(state, dict), 'one of its param_schedulers is no dict')
        hidden = [name for name in state if not isinstance(name, str) or callable(getattr(type(scheduler), name, None))]
        _need(not hidden, f'its param_schedulers would replace {hidden[0] if hidden else ""!r}')


def _check_message_hub(hub: Any) -> None:
    _need(isinstance(hub, dict), 'its message_hub is no dict')
    for name in ('log_scalars', 'runtime_info', 'resumed_keys'):
        part = hub.get(name)
        _need(isinstance(part, Mapping) and all(isinstance(key, str) for key in part), f'message_hub.{name} is no dict')
    odd = [name for name, value in hub['log_scalars'].items() if not isinstance(value, HistoryBuffer)]
    _need(not odd, f'message_hub.log_scalars.{odd[0] if odd else ""} is no history of numbers')
    ids = hub['runtime_info'].get('keep_ckpt_ids', [])
    _need(isinstance(ids, list) and all(type(one) is int for one in ids), 'message_hub keep_ckpt_ids are no numbers')


def _drop_foreign_paths(info: dict[str, Any], runner: Runner) -> None:
    """Drop best checkpoints so far outside this run's folders: the Runner deletes them once there is a better one."""
    folders = [runner.work_dir]
    folders += [hook.out_dir for hook in runner.hooks if isinstance(hook, CheckpointHook) and hook.out_dir]
    for name in [name for name in info if name.startswith('best_ckpt')]:
        path = info[name]
        own = isinstance(path, str) and re.fullmatch(r'best_.*\.pth', Path(path).name)
        if path is None or (own and any(Path(path).resolve().is_relative_to(Path(f).resolve()) for f in folders)):
            continue
        print_log(f'{str(path)[:200]}, the best checkpoint so far, is not of this run: left alone', 'current', level=30)
        info[name] = None


def _need(condition: bool, otherwise: str) -> None:
    if not condition:
        raise InputError(f'the checkpoint cannot be resumed: {otherwise}')
