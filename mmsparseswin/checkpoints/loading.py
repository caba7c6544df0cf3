"""Load any known checkpoint into a backbone of ours, and say exactly what was loaded."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from mmsparseswin.checkpoints.architecture import block_counts
from mmsparseswin.checkpoints.reading import read_checkpoint
from mmsparseswin.checkpoints.resizing import Resizing, resize_to
from mmsparseswin.checkpoints.sources import translate
from mmsparseswin.checkpoints.sources.rules import by_reason
from mmsparseswin.errors import InputError

_SHOWN = 3


@dataclass
class LoadReport:
    """Report of each tensor of a module and of a file; names are ours except in ``dropped``.

    Attributes:
        source: whose names the file had.
        matched: loaded (those in ``resized`` among them).
        missing: in the module only: they keep their initial values.
        unexpected: in the file only.
        resized: loaded at another size, 'name (old shape) -> (new shape)'.
        dropped: in the file, left out on purpose -> the reason.
        notes: what was unwrapped while reading.
    """

    source: str
    matched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = ('matched', 'missing', 'unexpected', 'resized', 'dropped')
        lines = [f'source {self.source}: ' + ', '.join(f'{len(getattr(self, kind))} {kind}' for kind in kinds)]
        for kind in kinds[1:4]:
            if names := getattr(self, kind):
                more = f', and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''
                lines.append(f'{kind}: {", ".join(names[:_SHOWN])}{more}')
        lines += [f'dropped: {line}' for line in by_reason(self.dropped)]
        return '\n'.join(lines + self.notes)


class Backbone(Protocol):
    """The part of :class:`mmsparseswin.backbones.base.TokenBackbone` that loading needs."""

    resizing: Resizing
    optional_parts: tuple[str, ...]

    def adapt_weights(self, tensors: Mapping[str, Tensor], report: LoadReport) -> Mapping[str, Tensor]:
        """Turn weights of a related backbone into a start for this one."""

    def state_dict(self) -> dict[str, Any]:
        """Return the tensors by name."""

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool) -> Any:
        """Load tensors by name."""


def load_pretrained(module: Backbone, checkpoint: str | os.PathLike, prefix: str | None = None) -> LoadReport:
    """Load a checkpoint of any known source into a backbone.

    A Swin file also starts a SparseSwin: stages 1-3, and the patch merging of stage 4 where the module has one. And it
    starts an STViT-R of the same depths, all but its convolutional stem; layer scales become 1. Bias tables, position
    embeddings and token layers made for another window or grid are resized.

    Args:
        module: the backbone; its own names, without ``backbone.``.
        checkpoint: path or http(s) URL, see :func:`read_checkpoint`.
        prefix: take only the tensors whose names start with it; by default the backbone is found in the file.

    Raises:
        InputError: unreadable, no known source, nothing fits, a stage with another number of blocks, or a tensor of a
            shape that cannot be resized; the tensor is named.
    """
    content = read_checkpoint(checkpoint)
    tensors, others = content.tensors, {}
    if prefix:
        inside = prefix if prefix.endswith('.') else prefix + '.'
        tensors = {name[len(inside) :]: t for name, t in tensors.items() if name.startswith(inside)}
        others = {name: f'outside prefix {inside!r}' for name in content.tensors if not name.startswith(inside)}
        if not tensors:
            raise InputError(f'{checkpoint}: no tensor starts with {inside!r}; it starts with {_some(content.tensors)}')
    try:
        source, translation = translate(tensors)
        wanted = {name: tuple(t.shape) for name, t in module.state_dict().items()}
        report = LoadReport(source, notes=content.notes)
        report.dropped = others | translation.dropped
        report.dropped |= {f'{n} (our name)': 'part of a detector, not of the backbone' for n in translation.detector}
        adapted = module.adapt_weights(translation.tensors, report)
        offered = _leave_out(_as_conv_merging(adapted, wanted, report), wanted, report)
        _check_stages(offered, wanted, module.optional_parts)
        fitting = _fit(offered, wanted, report, module.resizing)
    except InputError as e:
        raise InputError(f'{checkpoint} does not fit {type(module).__name__}: {e}') from e
    report.unexpected += translation.unknown
    module.load_state_dict(fitting, strict=False)
    return report


def _some(names: Collection[str]) -> str:
    return ', '.join(list(names)[:_SHOWN])


def _as_conv_merging(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]], report: LoadReport
) -> dict[str, Tensor]:
    """Start patch merging by a convolution from patch merging by a linear layer.

    The linear layer normalises four neighbours together, the convolution each of them: both give the same where means
    and variances of the four are equal, but for a constant, which is approximated by least squares.
    """
    result = dict(tensors)
    for name, tensor in tensors.items():
        part = name.removesuffix('reduction.weight')
        if len(wanted.get(name, ())) != 4 or tensor.dim() != 2 or f'{part}norm.weight' not in tensors:
            continue
        gain, shift = (tensors[f'{part}norm.{kind}'].double() for kind in ('weight', 'bias'))
        # (2C, 4C) in the order (row, column) = (0, 0), (1, 0), (0, 1), (1, 1) -> (2C, C, row, column)
        kernel = (tensor * gain).unflatten(1, (2, 2, -1)).permute(0, 3, 2, 1).contiguous()
        constant = torch.linalg.lstsq(kernel.sum((2, 3)), (tensor.double() @ shift)[:, None]).solution[:, 0]
        result |= {name: kernel.to(tensor.dtype), f'{part}norm.weight': torch.ones_like(constant).to(tensor.dtype)}
        result[f'{part}norm.bias'] = constant.to(tensor.dtype)
        report.notes.append(f'{name}: a linear merging starts a convolution, which is not the same function')
    return result


def _leave_out(tensors: Mapping[str, Tensor], wanted: Collection[str], report: LoadReport) -> dict[str, Tensor]:
    """Drop tensors that have the name of something in the module, but another meaning."""
    reasons: dict[str, str] = {}
    for i in block_counts(tensors).keys() & block_counts(wanted).keys():
        table = f'stages.{i}.blocks.0.attn.relative_position_bias_table'
        if (table in tensors) != (table in wanted):
            kinds = ('windows', 'tokens') if table in tensors else ('tokens', 'windows')
            reason = f'stage {i + 1} has {kinds[0]} in the file and {kinds[1]} in the model'
            kept, parts = f'stages.{i}.downsample.', (f'stages.{i}.', f'norm{i}.')
            reasons |= {n: reason for n in tensors if n.startswith(parts) and not n.startswith(kept)}
    reasons |= {n: 'classification head, not in the backbone' for n in tensors if n.startswith('head.')}
    report.dropped |= reasons
    return {name: tensor for name, tensor in tensors.items() if name not in reasons}


def _check_stages(offered: Collection[str], wanted: Collection[str], optional_parts: tuple[str, ...]) -> None:
    """Check that a stage that both have has the same tensors in both: half a stage is another architecture."""
    there, here = block_counts(offered), block_counts(wanted)
    shared = sorted(set(there) & set(here))
    for stage in shared:
        if there[stage] != here[stage]:
            raise InputError(f'stages.{stage} has {there[stage]} blocks in the file, {here[stage]} in the model')
    patch = ['patch_embed.'] if any(name.startswith('patch_embed.') for name in offered) else []
    for part in patch + [f'stages.{stage}.' for stage in shared]:
        differing = {n for n in offered if n.startswith(part)} ^ {n for n in wanted if n.startswith(part)}
        # Old files lack the counter of batch norms.
        differing = {
            n for n in differing if not n.endswith('.num_batches_tracked') and not n.startswith(optional_parts)
        }
        if differing:
            name = min(differing)
            raise InputError(f'{name} is {"in the file" if name in offered else "in the model"} only')


def _fit(
    offered: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]], report: LoadReport, resizing: Resizing
) -> dict[str, Tensor]:
    """Return the tensors to load, each of the wanted shape."""
    fitting = {}
    for name, shape in wanted.items():
        if name not in offered:
            report.missing.append(name)
            continue
        old = offered[name]
        if tuple(old.shape) == shape:
            fitting[name] = old
        else:
            resized = resize_to(name, old, shape, resizing)
            if resized is None:
                raise InputError(f'{name} has shape {tuple(old.shape)} in the file and {shape} in the model')
            fitting[name] = resized
            report.resized.append(f'{name} {tuple(old.shape)} -> {shape}')
        report.matched.append(name)
    report.unexpected += [name for name in offered if name not in wanted]
    if not fitting:
        raise InputError(f'no tensor fits; the file has {_some(offered)} ..., the model {_some(wanted)} ...')
    return fitting
