"""Checks of the options that backbones share."""

import difflib
import inspect
from collections.abc import Iterable, Sequence
from typing import Any

from mmsparseswin.errors import InputError

OUT_TYPES = ('featmap', 'avg_featmap', 'raw')


def pick_arch(
    arch: str | dict, zoo: dict[str, dict[str, Any]], required: Sequence[str], optional: Iterable[str]
) -> dict[str, Any]:
    """Return the settings of a named arch, or of a dict checked for its keys."""
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
    for name in required:
        value = arch[name]
        if name in ('depths', 'num_heads') and not isinstance(value, (list, tuple)):
            raise InputError(f'arch.{name} is {value!r}: it must be a list of whole numbers, one for each stage')
        for one in value if isinstance(value, (list, tuple)) else [value]:
            check_whole(f'arch.{name}', one, 1)
    return dict(arch)


def pick(name: str, value: str, choices: Sequence[str]) -> str:
    """Return ``value`` if it is one of ``choices``."""
    if value not in choices:
        raise InputError(f'{name} {value!r} is unknown; choose one of {list(choices)}')
    return value


def check_whole(name: str, value: Any, least: int, most: int | None = None) -> None:
    """Raise an InputError unless ``value`` is a whole number from ``least`` to ``most``."""
    if type(value) is not int or value < least or (most is not None and value > most):
        top = '' if most is None else f' and at most {most}'
        raise InputError(f'{name} is {value!r}: it must be a whole number of at least {least}{top}')


def check_rate(name: str, value: Any) -> None:
    """Raise an InputError unless ``value`` is a probability of dropping, in [0, 1)."""
    if not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise InputError(f'{name} {value!r} must be a number in [0, 1), e.g. 0.1')


def per_stage(
    name: str, value: Any, gated: Sequence[bool], off: float, bounds: tuple[float, float], says: str
) -> list[float]:
    """Return one number for each stage of an option that only some stages have.

    Args:
        name: of the option.
        value: None, one number for all stages that have the option, or one for each stage.
        gated: True for each stage that has the option.
        off: the number that switches it off.
        bounds: the least and the largest number.
        says: the same in words.

    Raises:
        InputError: anything else, or another number than ``off`` for a stage that has not the option.
    """
    given = [value] * len(gated) if value is None or isinstance(value, (int, float)) else value
    if not isinstance(given, (list, tuple)) or len(given) != len(gated):
        raise InputError(f'{name} {value!r}: take one number {says}, or one for each of the {len(gated)} stages')
    several, numbers = given is value, []
    for i, (one, has) in enumerate(zip(given, gated, strict=True)):
        one = off if one is None or not (several or has) else one
        if isinstance(one, bool) or not isinstance(one, (int, float)) or not bounds[0] <= one <= bounds[1]:
            raise InputError(f'{name} {value!r}: {one!r} is not a number {says}')
        if one != off and not has:
            raise InputError(f'{name} {value!r}: stage {i} has no Swin windows to leave out; give it {off:g}')
        numbers.append(float(one))
    return numbers


def pick_stages(out_indices: Sequence[int] | None, out_type: str, stages: int) -> tuple[int, ...]:
    """Return the output stages: as given (negative ones from the end), else all for maps and the last for vectors."""
    if out_indices is None:
        return tuple(range(stages)) if out_type == 'featmap' else (stages - 1,)
    chosen = tuple(i + stages if i < 0 else i for i in ([out_indices] if isinstance(out_indices, int) else out_indices))
    if not chosen or any(not 0 <= i < stages for i in chosen) or list(chosen) != sorted(set(chosen)):
        raise InputError(f'out_indices {out_indices} must name ascending stages out of {list(range(stages))}')
    return chosen


def reject_unknown(cls: type, given: Iterable[str]) -> None:
    """Raise one error that names the nearest option and lists all, where Python's TypeError would name none."""
    known = inspect.signature(cls).parameters
    unknown = sorted(set(given) - set(known))
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, 1)
        hint = f' (did you mean {near[0]!r}?)' if near else ''
        raise InputError(f'{cls.__name__} has no option {unknown}{hint}; it takes {list(known)}')


def full_signature(cls: type) -> inspect.Signature:
    """Return the signature of ``cls`` with the options of its base, by name alone, in the place of ``**options``."""
    found: dict[str, inspect.Parameter] = {}
    for parent in cls.__mro__:
        if '__init__' in vars(parent):
            parameters = list(inspect.signature(vars(parent)['__init__']).parameters.values())[1:]
            inherited = bool(found)
            for p in parameters:
                if p.kind is not p.VAR_KEYWORD:
                    found.setdefault(p.name, p.replace(kind=p.KEYWORD_ONLY) if inherited else p)
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                break
    return inspect.Signature(list(found.values()))
