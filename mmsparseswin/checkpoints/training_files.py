"""Checkpoints that a training wrote: whether a file is one, whether it fits a model, which one to resume."""

import os
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.logging import print_log
from torch import nn

from mmsparseswin.checkpoints.archive import check_members, check_sums
from mmsparseswin.checkpoints.fetching import first_bytes
from mmsparseswin.checkpoints.metadata import is_safetensors, read_metadata
from mmsparseswin.errors import InputError


class FitReport(NamedTuple):
    """Which tensors of a model a state dict filled."""

    matched: int
    missing: list[str]  # names of the model that the checkpoint lacks: they keep their initial values
    mismatched: list[str]  # names in both, in different shapes: initial values, too
    unexpected: list[str]  # names that only the checkpoint has

    def __str__(self) -> str:
        parts = [f'{self.matched} tensors matched']
        for words, names in (
            ('missing', self.missing),
            ('of another shape', self.mismatched),
            ('unexpected', self.unexpected),
        ):
            parts.append(f'{len(names)} {words}{_few(names)}')
        return ', '.join(parts)


def _few(names: Sequence[str]) -> str:
    return f' ({", ".join(names[:3])}{", ..." if len(names) > 3 else ""})' if names else ''


def load_with_report(model: nn.Module, state: Mapping[str, torch.Tensor]) -> FitReport:
    """Load what fits of `state` into `model`, through its own state-dict hooks, and tell what did not."""
    state = _without_prefix(state)
    mismatched: list[str] = []
    try:
        keys = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        mismatched = re.findall(r'size mismatch for (\S+): ', str(error))
        for name in mismatched:
            state.pop(name, None)
        if not mismatched:
            raise InputError(f'the weights cannot be loaded: {str(error).splitlines()[-1].strip()}') from error
        keys = model.load_state_dict(state, strict=False)
    wanted = _names(model)
    missing = [name for name in keys.missing_keys if name in wanted and name not in mismatched]
    matched = len(wanted.difference(missing, mismatched))
    return FitReport(matched, missing, mismatched, list(keys.unexpected_keys))


def _names(model: nn.Module) -> set[str]:
    """Names of the state dict without batch norm's counters, which change no prediction and fill themselves in."""
    return {name for name in model.state_dict() if not name.endswith('num_batches_tracked')}


def _without_prefix(state: Mapping[str, torch.Tensor]) -> OrderedDict[str, torch.Tensor]:
    renamed = OrderedDict((name.removeprefix('module.'), value) for name, value in state.items())
    if hasattr(state, '_metadata'):
        renamed._metadata = state._metadata  # type: ignore[attr-defined]  # the versions that state-dict hooks ask for
    return renamed


def load_or_refuse(model: nn.Module, checkpoint: Mapping[str, Any], strict: bool) -> FitReport:
    """Load `checkpoint` into `model` if it fits; `strict` as for :class:`CheckpointGuardHook`.

    Raises:
        InputError: it holds no weights, or those of another architecture.
    """
    state = checkpoint.get('state_dict', checkpoint)
    if not isinstance(state, Mapping) or not any(torch.is_tensor(value) for value in state.values()):
        raise InputError('the checkpoint holds no weights (no state_dict): is it a file that training wrote?')
    report = load_with_report(model, state)
    absent = {*report.missing, *report.mismatched}
    backbone = [name for name in _names(model) if name.startswith('backbone.')]
    # Pyramid and heads are alike in many detectors: a checkpoint with another backbone fits in part.
    other_backbone = any('backbone.' in name for name in state) and bool(backbone) and absent.issuperset(backbone)
    if report.matched == 0 or other_backbone:
        raise InputError(
            f'the checkpoint is of another architecture: {report}; weights of a bare backbone go into '
            'model.backbone.init_cfg'
        )
    if strict and absent:
        raise InputError(f'the checkpoint does not fit this config (architecture or number of classes): {report}')
    return report


def check_checkpoint_file(path: str, trust: bool = False) -> None:
    """See that `path` can be a checkpoint before a model is built for it; if `trust`, only that it is there.

    Raises:
        InputError: no such file, cut off, or another kind of file.
    """
    if '://' in path:
        return
    path = os.path.expanduser(path)
    if not os.path.isfile(path):
        raise InputError(f'no checkpoint at {path}')
    start = first_bytes(Path(path))
    if trust:
        if is_safetensors(start):
            raise InputError(f'{path} is a safetensors file, which holds no code: leave --trust-checkpoint out')
        return
    # torch.save writes a zip archive; before torch 1.6, a pickle.
    if is_safetensors(start):
        read_metadata(path)
    elif start.startswith(b'PK\x03\x04'):
        check_members(Path(path))
    elif not start.startswith(b'\x80'):
        raise InputError(f'{path} is not a checkpoint (a file of torch.save or safetensors)')


def checkpoint_to_resume(work_dir: str) -> str | None:
    """Return the checkpoint that the last run in `work_dir` saved, or None if there was none.

    If `last_checkpoint` names none that is whole, which a kill leaves behind, the newest whole one is taken and named.

    Raises:
        InputError: there are checkpoints, but none of them is whole.
    """
    pointer = Path(work_dir) / 'last_checkpoint'
    named = pointer.read_text(errors='replace').strip() if pointer.is_file() else ''
    problem = _problem(named) if named else 'it is missing or empty'
    if problem is None:
        return named
    saved = [path for path in Path(work_dir).glob('*.pth') if re.fullmatch(r'(epoch|iter)_\d+\.pth', path.name)]
    saved.sort(key=os.path.getmtime, reverse=True)
    if not saved and not named:
        return None
    newest = next((str(path) for path in saved if _problem(str(path)) is None), None)
    if newest is None:
        raise InputError(f'{pointer} names no whole checkpoint ({problem}); start again without --resume')
    print_log(f'{pointer}: {problem}; going on from the newest whole one, {newest}', logger='current', level=30)
    return newest


def _problem(path: str) -> str | None:
    """Return why the file is no whole checkpoint, checksums included, or None."""
    try:
        check_checkpoint_file(path)
        if first_bytes(Path(path)).startswith(b'PK'):
            check_sums(Path(path))
    except InputError as error:
        return str(error)
    return None
