"""Tables that rename tensors, and what every source family shares."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mmsparseswin.errors import InputError


class Dropped(str):
    """The reason why a tensor is left out, where a rule would name its new name."""


Target = str | Dropped | Callable[[re.Match], str]
Rules = Sequence[tuple[str, Target]]

INDEX_BUFFER = Dropped('index buffer: rebuilt from the window size')
MASK_BUFFER = Dropped('attention mask: rebuilt from the image size')
MASK_TOKEN = Dropped('mask token of masked-image pre-training: no such input here')
DECODER = Dropped('decoder of masked-image pre-training: it restores pixels')

# A block's tensors as Microsoft, timm and we name them.
BLOCK = (
    r'norm[12]\.(?:weight|bias)|attn\.(?:qkv|proj)\.(?:weight|bias)|attn\.relative_position_bias_table'
    r'|mlp\.fc[12]\.(?:weight|bias)'
)

# What masked-image pre-training adds within a backbone's prefix, whoever wrote the file.
_PRETRAINING: Rules = ((r'(?:\w+\.)?mask_token', MASK_TOKEN), (r'decoder(?:_[a-z]+)*(?:\..+)?', DECODER))


@dataclass
class Translation:
    """Weights under our names: a bare backbone, ``head.fc`` where there was a classifier, and a detector's other parts.

    Attributes:
        tensors: our name -> tensor.
        detector: our name -> tensor of a detector's neck and head.
        dropped: name in the file -> why it is left out.
        unknown: names in the file that no rule knows.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    detector: dict[str, Tensor] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def by_reason(dropped: Mapping[str, str]) -> list[str]:
    """One readable line per reason."""
    names: dict[str, list[str]] = {}
    for name, reason in dropped.items():
        names.setdefault(reason, []).append(name)
    return [
        f'{group[0]}: {reason}' if len(group) == 1 else f'{group[0]} and {len(group) - 1} more: {reason}'
        for reason, group in names.items()
    ]


@dataclass(frozen=True)
class Source:
    """One family of files.

    Attributes:
        name: what ``source=`` takes.
        prefix: ``names -> prefix`` before the backbone's names ('' for none); None if the file is not of this family.
        translate: ``(tensors, prefix) -> Translation``.
        assumed: options of its backbone that leave no trace in a file.
    """

    name: str
    prefix: Callable[[Iterable[str]], str | None]
    translate: Callable[[Mapping[str, Tensor], str], Translation]
    assumed: dict[str, Any] = field(default_factory=dict)


def prefix_before(anchor: str, names: Iterable[str]) -> str | None:
    """Return the text before ``anchor``, a name that each file of a family has; the shortest if there are several."""
    found = [name[: -len(anchor)] for name in names if name == anchor or name.endswith('.' + anchor)]
    return min(found, key=len, default=None)


def pretraining_part(name: str) -> Dropped | None:
    """Return why `name` (without the prefix) is left out, if masked-image pre-training (SimMIM, MAE) added it."""
    target = _target(name, _PRETRAINING)
    return target if isinstance(target, Dropped) else None


def apply_rules(
    tensors: Mapping[str, Tensor], prefix: str, rules: Rules, outside: Rules = (), last_norm: str = 'norm'
) -> Translation:
    """Rename every tensor by the first rule that matches its whole name.

    Args:
        tensors: as named in the file.
        prefix: stripped before ``rules`` are tried, and then those of masked-image pre-training; names without it go to
            ``outside``, and are dropped if none fits.
        rules: (regular expression, new name or reason to drop).
        outside: rules for names beside the backbone, such as the head's.
        last_norm: the new name of a norm after the last stage; it becomes ``norm{i}`` of that stage.

    Raises:
        InputError: two tensors get one name.
    """
    result = Translation()
    origin: dict[str, str] = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            inner = name[len(prefix) :]
            target = _target(inner, rules) or pretraining_part(inner)
        else:
            target = _target(name, outside) or Dropped(f'not in the backbone, whose names start with {prefix!r}')
        if target is None:
            result.unknown.append(name)
        elif isinstance(target, Dropped):
            result.dropped[name] = str(target)
        elif target in origin:
            raise InputError(f'{origin[target]} and {name} both stand for {target}')
        else:
            origin[target] = name
            result.tensors[target] = tensor
    stages = {int(name.split('.')[1]) for name in result.tensors if name.startswith('stages.')}
    for kind in ('weight', 'bias'):
        if f'{last_norm}.{kind}' in result.tensors and stages:
            result.tensors[f'norm{max(stages)}.{kind}'] = result.tensors.pop(f'{last_norm}.{kind}')
    return result


def _target(name: str, rules: Rules) -> str | None:
    for pattern, target in rules:
        if match := re.fullmatch(pattern, name):
            if callable(target):
                return target(match)
            return target if isinstance(target, Dropped) else match.expand(target)
    return None
