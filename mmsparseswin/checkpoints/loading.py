"""Load any known checkpoint into a backbone of ours, and say exactly what was loaded."""

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mmsparseswin.checkpoints.architecture import block_counts, is_semantic, is_sparse
from mmsparseswin.checkpoints.reading import read_checkpoint
from mmsparseswin.checkpoints.resizing import resize_to
from mmsparseswin.checkpoints.sources import translate
from mmsparseswin.checkpoints.sources.rules import by_reason
from mmsparseswin.errors import InputError

_SHOWN = 3


@dataclass
class LoadReport:
    """What happened to every tensor of a module and of a file; names are ours except in ``dropped``.

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


def load_pretrained(module: nn.Module, checkpoint: str | os.PathLike, prefix: str | None = None) -> LoadReport:
    """Load a checkpoint of any known source into a Swin, SparseSwin or STViT-R backbone.

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
        tensors = translation.tensors
        if is_semantic(wanted) and not is_semantic(tensors):
            tensors = _as_semantic(tensors, wanted, report)
        tensors = _as_conv_merging(tensors, wanted, report)
        offered = _leave_out(tensors, wanted, report)
        _check_stages(offered, wanted)
        fitting = _fit(offered, wanted, report)
    except InputError as e:
        raise InputError(f'{checkpoint} does not fit {type(module).__name__}: {e}') from e
    report.unexpected += translation.unknown
    module.load_state_dict(fitting, strict=False)
    return report


def _some(names: Collection[str]) -> str:
    return ', '.join(list(names)[:_SHOWN])


def _as_semantic(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]], report: LoadReport
) -> dict[str, Tensor]:
    """Start STViT-R from a Swin's tensors, semantic blocks included (docs/models/stvit_r.md, 'Weights')."""
    result: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        block = re.fullmatch(
            r'stages\.2\.blocks\.(\d+)\.attn\.(qkv\.weight|qkv\.bias|relative_position_bias_table)', name
        )
        if name.startswith('patch_embed.'):
            report.dropped[name] = 'STViT-R has a convolutional stem'
        elif block is None or int(block[1]) % 6 == 0:
            result[name] = tensor
        elif block[2].startswith('qkv'):
            width = len(tensor) // 3
            result[name.replace('.qkv.', '.q.')], result[name.replace('.qkv.', '.kv.')] = tensor[:width], tensor[width:]
        else:
            report.dropped[name] = 'no such windows among semantic tokens'
    if block_counts(tensors).get(2) == block_counts(wanted)[2]:
        # Their small start is for blocks that know nothing yet.
        scales = [name for name in wanted if '.layer_scale_' in name]
        result |= {name: torch.ones(wanted[name]) for name in scales}
        report.notes.append(f'{len(scales)} layer scales set to 1, as no Swin has them')
    return result


def _as_conv_merging(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]], report: LoadReport
) -> dict[str, Tensor]:
    """Patch merging by a linear layer as a start for one by a convolution.

    The one normalises four neighbours together, the other each: equal where their means and variances are, but for a
    constant that is met by least squares.
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
    """Without what has the name but not the meaning of something in the module."""
    stage4 = {name for name in tensors if name.startswith('stages.3.') and '.downsample.' not in name}
    other_kind = stage4 | {'norm3.weight', 'norm3.bias'} if is_sparse(tensors) != is_sparse(wanted) else set()
    offered = {}
    for name, tensor in tensors.items():
        if name.startswith('head.'):
            report.dropped[name] = 'classification head, not in the backbone'
        elif name in other_kind:
            report.dropped[name] = 'stage 4 has windows in a Swin and tokens in a SparseSwin'
        else:
            offered[name] = tensor
    return offered


def _check_stages(offered: Collection[str], wanted: Collection[str]) -> None:
    """A stage that both have must have the same tensors: half a stage is another architecture."""
    there, here = block_counts(offered), block_counts(wanted)
    shared = sorted(set(there) & set(here))
    for stage in shared:
        if there[stage] != here[stage]:
            raise InputError(f'stages.{stage} has {there[stage]} blocks in the file, {here[stage]} in the model')
    patch = ['patch_embed.'] if any(name.startswith('patch_embed.') for name in offered) else []
    parts = patch + [f'stages.{stage}.' for stage in shared]
    if is_sparse(wanted) and 3 in shared:  # what makes a map of the tokens again may be there or not
        parts[-1:] = [f'stages.3.{part}.' for part in ('convert', 'lin_t', 'blocks', 'norm')]
    for part in parts:
        differing = {n for n in offered if n.startswith(part)} ^ {n for n in wanted if n.startswith(part)}
        differing = {n for n in differing if not n.endswith('.num_batches_tracked')}  # a counter that old files lack
        if differing:
            name = min(differing)
            raise InputError(f'{name} is {"in the file" if name in offered else "in the model"} only')


def _fit(offered: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]], report: LoadReport) -> dict[str, Tensor]:
    """The tensors to load, each of the wanted shape."""
    fitting = {}
    for name, shape in wanted.items():
        if name not in offered:
            report.missing.append(name)
            continue
        old = offered[name]
        if tuple(old.shape) == shape:
            fitting[name] = old
        else:
            resized = resize_to(name, old, shape)
            if resized is None:
                raise InputError(f'{name} has shape {tuple(old.shape)} in the file and {shape} in the model')
            fitting[name] = resized
            report.resized.append(f'{name} {tuple(old.shape)} -> {shape}')
        report.matched.append(name)
    report.unexpected += [name for name in offered if name not in wanted]
    if not fitting:
        raise InputError(f'no tensor fits; the file has {_some(offered)} ..., the model {_some(wanted)} ...')
    return fitting
