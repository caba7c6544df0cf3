"""Checks of the options that backbones share."""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

from mmsparseswin.errors import InputError

OUT_TYPES = ('featmap', 'avg_featmap', 'raw')


def pick_arch(
    arch: str | dict, zoo: dict[str, dict[str, Any]], required: Sequence[str], optional: Iterable[str]
) -> dict[str, Any]:
    """Settings of a named arch, or of a dict checked for its keys."""
    if isinstance(arch, str):
        if arch not in zoo:
            raise InputError(f'arch {arch!r} is unknown; choose one of {list(zoo)}, or a dict with {list(required)}')
        return dict(zoo[arch])
    missing = sorted(set(required) - set(arch))
    unknown = sorted(set(arch) - {*required, *optional})
    if missing or unknown:
        raise InputError(
            f'arch dict: missing {missing}, unknown {unknown}; it takes {list(required)} and may take {list(optional)}'
        )
    return dict(arch)


def pick(name: str, value: str, choices: Sequence[str]) -> str:
    """``value`` if it is one of ``choices``."""
    if value not in choices:
        raise InputError(f'{name} {value!r} is unknown; choose one of {list(choices)}')
    return value


def pick_stages(out_indices: Sequence[int] | None, out_type: str, stages: int) -> tuple[int, ...]:
    """Output stages: as given (negative ones count from the end), else all for maps and the last for anything else."""
    if out_indices is None:
        return tuple(range(stages)) if out_type == 'featmap' else (stages - 1,)
    chosen = tuple(i + stages if i < 0 else i for i in ([out_indices] if isinstance(out_indices, int) else out_indices))
    if not chosen or any(not 0 <= i < stages for i in chosen) or list(chosen) != sorted(set(chosen)):
        raise InputError(f'out_indices {out_indices} must name ascending stages out of {list(range(stages))}')
    return chosen


def reject_unknown(cls: type, unknown: dict[str, Any]) -> None:
    """One error that lists what exists, instead of a bare TypeError."""
    if unknown:
        parents = [c for c in cls.__mro__ if c.__module__.startswith('mmsparseswin.') and '__init__' in vars(c)]
        signatures = [inspect.signature(c).parameters.values() for c in parents]
        known = dict.fromkeys(p.name for ps in signatures for p in ps if p.kind is not p.VAR_KEYWORD)
        raise InputError(f'{cls.__name__} has no option {sorted(unknown)}; it takes {list(known)}')
