"""Knobs of a sweep: short names for what changes the speed of a trained model, and the options of a config they set."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from mmengine.config import Config

from mmsparseswin.backbones.base import is_backbone
from mmsparseswin.cli.config_tree import walk
from mmsparseswin.errors import InputError

Point = dict[str, Any]  # knob -> value; the config's own value where a knob is missing

_SIZES = ('scale', 'crop_size', 'size')  # arguments of transforms that say how large the image becomes
_RESIZING = ('Resize', 'ResizeEdge', 'CenterCrop', 'Pad', 'FixScaleResize')
KNOBS = {
    'size': 'factor of the image size of the test pipeline, e.g. 0.75',
    'keep_windows': 'windows kept, one number or one per stage in brackets; keep_windows.2 is stage 2 alone',
    'token_resize': "SparseSwin: 'weight', 'feature' or 'tile'",
    'tokens': 'STViT-R: side of the semantic tokens of a window, 2 to 4',
    'proposals': 'proposals of the RPN that are classified (rpn.max_per_img)',
    'nms_pre': 'boxes before suppression, wherever the test has this limit',
    'score_thr': 'least score of a detection',
    'precision': 'fp32 or bf16 (autocast)',
    'threads': 'threads of PyTorch',
}


def parse_grid(words: Sequence[str]) -> dict[str, list[Any]]:
    """Read ``knob=value,value,...`` words; commas inside brackets are part of a value.

    Raises:
        InputError: a word of another form, an unknown knob (a key of the config has a dot), or a knob twice.
    """
    grid: dict[str, list[Any]] = {}
    for word in words:
        knob, equals, text = word.partition('=')
        if not equals or not text:
            raise InputError(f'--grid {word!r} is not of the form KNOB=VALUE,VALUE')
        if knob not in KNOBS and '.' not in knob:
            raise InputError(f'--grid {knob}: choose from {", ".join(KNOBS)}, or a key of the config, which has a dot')
        if knob in grid:
            raise InputError(f'--grid {knob} is given twice')
        grid[knob] = [_literal(part) for part in _split(text)]
    return grid


def _split(text: str) -> list[str]:
    parts, depth = [''], 0
    for letter in text:
        depth += (letter in '([{') - (letter in ')]}')
        if letter == ',' and depth == 0:
            parts.append('')
        else:
            parts[-1] += letter
    return parts


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text.strip()


def points_of(grid: Mapping[str, Sequence[Any]]) -> Iterator[Point]:
    """Yield every combination of the values of a grid."""
    for values in product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def default_space(cfg: Config) -> dict[str, list[Any]]:
    """Return the values that a search tries without a grid: image size, windows by stage, limits of the test."""
    space: dict[str, list[Any]] = {}
    if any(True for _ in _resizing_options(cfg, 0.5)):
        space['size'] = [1.0, 0.875, 0.75, 0.625, 0.5]
    path = _backbone(cfg)
    if path is not None:
        for stage, kept in enumerate(_kept(cfg, path)):
            if _has_windows(cfg, path, stage):
                space[f'keep_windows.{stage}'] = sorted({kept, 0.85, 0.7, 0.5, 0.35}, reverse=True)
    for knob in ('proposals', 'nms_pre'):
        values = {value for _, value in _limits(cfg, knob)}
        if len(values) == 1:
            most = values.pop()
            space[knob] = [most, most // 2, most // 4]
    if not space:
        raise InputError('nothing to search in this config: no resize, no backbone of ours, no limit; give --grid')
    return space


def options_of(cfg: Config, point: Point) -> dict[str, Any]:
    """Return the ``--cfg-options`` of a point, key -> value; threads are none.

    Raises:
        InputError: the config lacks what a knob turns, or the value is none of its values.
    """
    options: dict[str, Any] = {}
    stages: dict[int, float] = {}
    for knob, value in point.items():
        if knob.startswith('keep_windows.'):
            stages[_stage(knob)] = value
        elif knob == 'size':
            if not isinstance(value, (int, float)) or not 0 < value <= 8:
                raise InputError(f'size={value!r}: it is a factor of the image size, e.g. 0.75')
            found = dict(_resizing_options(cfg, value))
            if not found:
                raise InputError('size: the test pipeline of this config has no resize step whose size could change')
            options |= found if value != 1 else {}
        elif knob in ('keep_windows', 'token_resize', 'tokens'):
            path = _backbone(cfg)
            if path is None:
                raise InputError(f'{knob}: the config has no backbone of mmsparseswin')
            options[f'{path}.{"tokens_per_window" if knob == "tokens" else knob}'] = value
        elif knob in ('proposals', 'nms_pre', 'score_thr'):
            keys = [key for key, _ in _limits(cfg, knob)]
            if not keys:
                raise InputError(f'{knob}: the test of this model has no such limit')
            options |= dict.fromkeys(keys, value)
        elif knob == 'precision':
            if value not in ('fp32', 'bf16'):
                raise InputError(f'precision={value!r}: choose fp32 or bf16')
            options['test_cfg.fp16'] = value == 'bf16'  # mmengine's name for autocast; bfloat16 on a CPU
        elif knob == 'threads':
            if type(value) is not int or value < 1:
                raise InputError(f'threads={value!r}: it must be a whole number of at least 1')
        else:
            options[knob] = value
    if stages:
        path = _backbone(cfg)
        if path is None or 'keep_windows' in point:
            raise InputError('keep_windows.STAGE needs a backbone of mmsparseswin, and no keep_windows beside it')
        shares = _kept(cfg, path)
        for stage, value in stages.items():
            if stage >= len(shares):
                raise InputError(f'keep_windows.{stage}: the backbone has stages 0 to {len(shares) - 1}')
            shares[stage] = value
        options[f'{path}.keep_windows'] = tuple(shares)
    return options


def as_words(options: Mapping[str, Any]) -> list[str]:
    """Format options as the words of ``--cfg-options``."""
    return [f'{key}={_plain(value)}' for key, value in options.items()]


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f'({",".join(_plain(one) for one in value)})'
    return str(value)


def _stage(knob: str) -> int:
    number = knob.rpartition('.')[2]
    if not number.isdigit():
        raise InputError(f'{knob}: name a stage by its number, e.g. keep_windows.2')
    return int(number)


def _backbone(cfg: Config) -> str | None:
    """Return the key of the first backbone of ours."""
    return next((key for key, node in walk('model', cfg.model) if isinstance(node, dict) and is_backbone(node)), None)


def _node(cfg: Config, path: str) -> dict:
    return next(node for key, node in walk('model', cfg.model) if key == path)


def _built(cfg: Config, path: str) -> Any:
    """Build the backbone without memory, to know its stages."""
    import torch

    from mmsparseswin.registry import MODELS

    options = {key: value for key, value in _node(cfg, path).items() if key != 'init_cfg'}
    with torch.device('meta'):
        return MODELS.build(options)


def _kept(cfg: Config, path: str) -> list[float]:
    """Return the shares of the config, one per stage."""
    return list(_built(cfg, path).keep_windows)


def _has_windows(cfg: Config, path: str, stage: int) -> bool:
    stages = _built(cfg, path).stages
    return stage < len(stages) and getattr(stages[stage], 'leaves_out', False)


def _limits(cfg: Config, knob: str) -> list[tuple[str, Any]]:
    """Return (key, value) of a limit wherever the test of the model has it."""
    tests = [(key, node) for key, node in walk('model', cfg.model) if key.endswith('test_cfg') and node]
    found = []
    for start, node in tests:
        for key, value in walk(start, node):
            name = key.removeprefix(start)
            if name == '.rpn.max_per_img' if knob == 'proposals' else name.endswith(f'.{knob}'):
                found.append((key, value))
    return found


def _resizing_options(cfg: Config, factor: float) -> Iterator[tuple[str, Any]]:
    """Yield (key, value) of every size in the test pipeline, scaled."""
    loader = cfg.get('test_dataloader') or {}
    for i, step in enumerate(loader.get('dataset', {}).get('pipeline') or ()):
        if str(step.get('type')).rpartition('.')[2] not in _RESIZING:
            continue
        for name in _SIZES:
            if isinstance(size := step.get(name), (int, list, tuple)):
                scaled = round(size * factor) if isinstance(size, int) else tuple(round(one * factor) for one in size)
                yield f'test_dataloader.dataset.pipeline.{i}.{name}', scaled
