"""The model that a set of weights belongs to: a backbone reads its config off them, is built and compared."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mmsparseswin.errors import InputError
from mmsparseswin.registry import backbone_classes


@dataclass
class Reading:
    """Options of a backbone, read off weights.

    Attributes:
        options: its options.
        notes: what is not in a file and therefore assumed.
        untraced: options that leave no trace in a file, one phrase each.
    """

    options: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    untraced: list[str] = field(default_factory=list)


@dataclass
class Architecture:
    """A backbone found by its weights.

    Attributes:
        backbone: its config.
        width: channels of its last output.
        notes: see :class:`Reading`.
        untraced: see :class:`Reading`.
        unused: tensors of stages after the last output, which are not built.
    """

    backbone: dict[str, Any]
    width: int
    notes: list[str]
    untraced: list[str]
    unused: list[str]


def block_counts(names: Collection[str]) -> dict[int, int]:
    """Return stage -> number of its blocks, by the highest number in a name."""
    return {stage: max(blocks) + 1 for stage, blocks in _blocks(names).items()}


def whole_block_counts(names: Collection[str]) -> dict[int, int]:
    """Return stage -> number of its blocks, all of which are there: no name makes a model larger than its file.

    Raises:
        InputError: a block is missing before the last one.
    """
    found = _blocks(names)
    for stage, blocks in found.items():
        if gaps := set(range(len(blocks))) - blocks:
            raise InputError(f'stages.{stage}.blocks.{min(gaps)} (our name) is missing: the weights are incomplete')
    return {stage: len(blocks) for stage, blocks in found.items()}


def read_architecture(tensors: Mapping[str, Tensor]) -> Architecture:
    """Find the backbone of ``tensors`` (our names, no prefix, no head), and check that they are all it has.

    The backbones are asked (``read_options``) in the order of their list. The model is built without memory, on torch's
    device ``meta``, and its names and shapes are those that count.

    Raises:
        InputError: a tensor is missing, unknown or of a wrong shape; it is named.
    """
    try:
        for cls in backbone_classes():
            if (reading := cls.read_options(tensors)) is not None:
                with torch.device('meta'):
                    model = cls(**reading.options)
                break
        else:
            raise InputError('no backbone knows these weights')
    except (ArithmeticError, RuntimeError, TypeError) as e:  # sizes of zero, or too large for torch
        reason = str(e).partition('\n')[0]
        raise InputError(f'no backbone has the sizes that these weights tell: {reason}') from e
    behind = tuple(f'stages.{i}.' for i in range(model.out_indices[-1] + 1, len(block_counts(tensors))))
    unused = [name for name in tensors if name.startswith(behind)]
    used = {name: t for name, t in tensors.items() if not name.startswith(behind)}
    compare(used, {name: tuple(t.shape) for name, t in model.state_dict().items()})
    config = {'type': f'mmsparseswin.{cls.__name__}', **reading.options}
    return Architecture(config, model.out_channels[-1], reading.notes, reading.untraced, unused)


def _blocks(names: Collection[str]) -> dict[int, set[int]]:
    """Return stage -> the numbers of its blocks."""
    found: dict[int, set[int]] = {}
    for name in names:
        if match := re.match(r'stages\.(\d{1,9})\.blocks\.(\d{1,9})\.', name):
            found.setdefault(int(match[1]), set()).add(int(match[2]))
    return dict(sorted(found.items()))


def compare(tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check that every tensor of the model is there, of its shape, and no other."""
    # Old files lack the counter of batch norms, and torch loads them all the same.
    missing = [name for name in shapes if name not in tensors and not name.endswith('.num_batches_tracked')]
    if missing:
        raise InputError(f'{first_of(missing)} (our name) is missing: the weights are incomplete')
    extra = [name for name in tensors if name not in shapes]
    if extra:
        raise InputError(f'{first_of(extra)} (our name) has no place in the model that the other weights make')
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != shapes[name]:
            raise InputError(
                f'{name} (our name) has shape {tuple(tensor.shape)}, the other weights need {shapes[name]}'
            )


def first_of(names: list[str]) -> str:
    """Return the first of ``names`` and how many more there are."""
    return names[0] if len(names) == 1 else f'{names[0]} (and {len(names) - 1} more)'
