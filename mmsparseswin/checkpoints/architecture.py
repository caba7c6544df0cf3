"""The model that a set of weights belongs to, found from names and shapes."""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mmsparseswin.errors import InputError

Shapes = dict[str, tuple[int, ...]]

# (embed_dims, depths, num_heads, windows or None for any one window) -> arch of mmsparseswin.Swin
_SWIN_ARCHS = {
    (96, (2, 2, 6, 2), (3, 6, 12, 24), (7, 7, 14, 7)): 's3-tiny',
    (96, (2, 2, 18, 2), (3, 6, 12, 24), (14, 14, 14, 7)): 's3-small',
    (96, (2, 2, 30, 2), (3, 6, 12, 24), (7, 7, 14, 7)): 's3-base',
    (96, (2, 6, 4), (3, 6, 12), (4, 4, 4)): 'cifar',
    (96, (2, 2, 6, 2), (3, 6, 12, 24), None): 'tiny',
    (96, (2, 2, 18, 2), (3, 6, 12, 24), None): 'small',
    (128, (2, 2, 18, 2), (4, 8, 16, 32), None): 'base',
    (192, (2, 2, 18, 2), (6, 12, 24, 48), None): 'large',
}
# (num_tokens, token_dims) -> arch of mmsparseswin.SparseSwin: two token blocks on stages 1-3 of Swin-T
_SPARSE_ARCHS = {(49, 512): 'tiny', (64, 768): 'small', (81, 1024): 'base'}
_SPARSE_ON = (96, (2, 2, 6), (3, 6, 12))
_TOKEN_HEADS = 16


@dataclass
class Architecture:
    """A backbone read off its weights.

    Attributes:
        backbone: its config.
        width: channels of its last output.
        shapes: every tensor this backbone has, by our names, and its shape.
        notes: what is not in a file and therefore assumed.
    """

    backbone: dict[str, Any]
    width: int
    shapes: Shapes
    notes: list[str] = field(default_factory=list)


def is_sparse(names: Collection[str]) -> bool:
    """Whether names of ours are SparseSwin's."""
    return 'stages.3.lin_t.weight' in names


def is_semantic(names: Collection[str]) -> bool:
    """Whether names of ours are STViT-R's."""
    return 'stages.2.blocks.1.attn.kv.weight' in names


def block_counts(names: Collection[str]) -> dict[int, int]:
    """Stage -> number of its blocks."""
    last: dict[int, int] = {}
    for name in names:
        if match := re.match(r'stages\.(\d+)\.blocks\.(\d+)\.', name):
            stage = int(match[1])
            last[stage] = max(last.get(stage, -1), int(match[2]))
    return {stage: last[stage] + 1 for stage in sorted(last)}


def read_architecture(tensors: Mapping[str, Tensor]) -> Architecture:
    """Find the backbone of ``tensors`` (our names, no prefix, no head) and the shape each of its tensors must have.

    Raises:
        InputError: a tensor that tells a size is missing, or tells an impossible one.
    """
    sparse = is_sparse(tensors)
    counts = block_counts(tensors)
    stages = [i for i in counts if not (sparse and i == 3)]
    if not stages or stages != list(range(len(stages))):
        raise InputError(f'blocks are there of stages {stages} only; all from 0 on are needed')
    tables = [_get(tensors, f'stages.{i}.blocks.0.attn.relative_position_bias_table', 2) for i in stages]
    depths, heads = tuple(counts[i] for i in stages), tuple(int(t.shape[1]) for t in tables)
    windows = tuple(_window(i, table.shape[0]) for i, table in enumerate(tables))
    semantic = is_semantic(tensors)
    if semantic:
        half, channels, _, _ = _get(tensors, 'patch_embed.conv1.weight', 4).shape
        dims, patch = 2 * half, 4
    else:
        dims, channels, patch, _ = _get(tensors, 'patch_embed.proj.weight', 4).shape
    ratio = _get(tensors, 'stages.0.blocks.0.mlp.fc1.weight', 2).shape[0] / dims
    qkv_bias = 'stages.0.blocks.0.attn.qkv.bias' in tensors
    norms = tuple(sorted(int(m[1]) for name in tensors if (m := re.fullmatch(r'norm(\d)\.weight', name))))

    sizes = {'embed_dims': dims, 'depths': depths, 'num_heads': heads}
    shapes = _linear('patch_embed.proj', dims, channels, patch, patch) | _norm('patch_embed.norm', dims)
    if semantic:
        shapes = _stem(tensors, dims, channels)
    for i in stages:
        shapes |= _stage(i, dims * 2**i, depths[i], heads[i], windows[i], ratio, qkv_bias)
    conv_merging = [i for i in stages[1:] if _has_conv_merging(tensors, i)]
    for i in conv_merging:
        name, width = f'stages.{i}.downsample', dims * 2**i
        shapes |= {**_norm(f'{name}.norm', width // 2), f'{name}.reduction.weight': (width, width // 2, 2, 2)}
    for i in norms:
        shapes |= _norm(f'norm{i}', dims * 2**i)
    if sparse:
        arch, cfg, width = _read_tokens(tensors, sizes, dims, patch, shapes)
        notes = [f'{_TOKEN_HEADS} heads in the token blocks: not in the file, the published number']
        out_indices = tuple(sorted({*norms, 3})) if norms or 'out_type' in cfg else (0, 1, 2, 3)
        cfg |= {'sparta': True} if semantic else {}
    else:
        arch = _SWIN_ARCHS.get((dims, depths, heads, windows)) or _SWIN_ARCHS.get((dims, depths, heads, None)) or sizes
        cfg = {'img_size': max(patch * 2**i * windows[i] for i in stages)}
        notes = [f'img_size {cfg["img_size"]}: not in the file, the smallest that clips no window']
        out_indices = norms or (stages[-1],)
        width = dims * 2 ** out_indices[-1]
    if semantic:
        shapes = _with_semantic_tokens(tensors, shapes, depths[2], heads[2])
        cfg |= _semantic_options(tensors)
    if 'absolute_pos_embed' in tensors:
        side = _side('absolute_pos_embed', tensors['absolute_pos_embed'].shape[1])
        cfg |= {'use_abs_pos_embed': True, 'img_size': side * patch}
        notes = notes if sparse else []
        shapes['absolute_pos_embed'] = (1, side * side, dims)
    _check_windows(windows, cfg['img_size'], patch)
    cfg['window_size'] = windows[0] if len(set(windows)) == 1 else windows
    unusual = {
        'in_channels': (channels, 3),
        'patch_size': (patch, 4),
        'mlp_ratio': (ratio, 4),
        'qkv_bias': (qkv_bias, 1),
        'patch_merging': ('conv' if conv_merging else 'linear', 'linear'),
    }
    cfg |= {name: value for name, (value, usual) in unusual.items() if value != usual}
    cfg['out_indices'] = out_indices
    if not norms and cfg.get('out_type') != 'avg_featmap':
        cfg['output_norm'] = False
    kind = 'mmsparseswin.' + ('STViTR' if semantic else 'SparseSwin' if sparse else 'Swin')
    return Architecture({'type': kind, 'arch': arch, **cfg}, width, shapes, notes)


def _read_tokens(
    tensors: Mapping[str, Tensor], sizes: dict[str, Any], dims: int, patch: int, shapes: Shapes
) -> tuple[str | dict, dict[str, Any], int]:
    """Arch, options and output channels of SparseSwin's stage 4; its shapes are added to ``shapes``."""
    stage = 'stages.3'
    lin_t = _get(tensors, f'{stage}.lin_t.weight', 2)
    num_tokens, grid = lin_t.shape[0], _side(f'{stage}.lin_t.weight', lin_t.shape[1])
    separable = f'{stage}.convert.1.weight' in tensors
    conversion = _get(tensors, f'{stage}.convert.1.weight' if separable else f'{stage}.convert.weight', 4)
    token_dims, depth = conversion.shape[0], block_counts(tensors).get(3, 0)
    qkv_bias = f'{stage}.blocks.0.attn.qkv.bias' in tensors
    width = 4 * dims
    if separable:
        shapes |= _linear(f'{stage}.convert.0', width, 1, 3, 3) | _linear(f'{stage}.convert.1', token_dims, width, 1, 1)
    else:
        shapes |= _linear(f'{stage}.convert', token_dims, width, 3, 3)
    shapes |= _linear(f'{stage}.lin_t', num_tokens, grid**2) | _norm(f'{stage}.norm', token_dims)
    for j in range(depth):
        shapes |= _block(f'{stage}.blocks.{j}', token_dims, 4, qkv_bias)

    cfg: dict[str, Any] = {'img_size': 4 * patch * grid}
    out_width = token_dims
    to_map = f'{stage}.token_to_map'
    if f'{to_map}.fc1.weight' in tensors:
        cfg['token_to_map'] = 'mlp'
        shapes |= _linear(f'{to_map}.fc1', 4 * token_dims, num_tokens)
        shapes |= _linear(f'{to_map}.fc2', (grid // 2) ** 2, 4 * token_dims)
    elif f'{to_map}.q.weight' in tensors:
        cfg['token_to_map'] = 'cross_attention'
        out_width = 2 * width
        shapes |= _merging(3, 2 * width) | _norm(f'{to_map}.norm1', 2 * width) | _norm(f'{to_map}.norm2', 2 * width)
        shapes |= _linear(f'{to_map}.q', token_dims, 2 * width) | _linear(f'{to_map}.kv', 2 * token_dims, token_dims)
        shapes |= _linear(f'{to_map}.proj', 2 * width, token_dims)
        shapes |= _linear(f'{to_map}.mlp.fc1', 4 * width, 2 * width) | _linear(
            f'{to_map}.mlp.fc2', 2 * width, 4 * width
        )
    else:
        cfg['out_type'] = 'avg_featmap'
    if 'norm3.weight' in tensors:
        shapes |= _norm('norm3', out_width)
    cfg |= {'token_qkv_bias': qkv_bias} | ({'token_conversion': 'separable'} if separable else {})
    on = (sizes['embed_dims'], sizes['depths'], sizes['num_heads'])
    if depth == 2 and on == _SPARSE_ON and (num_tokens, token_dims) in _SPARSE_ARCHS:
        return _SPARSE_ARCHS[num_tokens, token_dims], cfg, out_width
    tokens = {'num_tokens': num_tokens, 'token_dims': token_dims, 'token_heads': _TOKEN_HEADS, 'token_depth': depth}
    return {**sizes, **tokens}, cfg, out_width


def _semantic_options(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The options of STViT-R that leave a trace."""
    options: dict[str, Any] = {}
    if 'stages.2.blocks.2.global_tokens' in tensors:
        options['use_global'] = True
    if 'stages.2.blocks.1.conv_pos.weight' in tensors:
        options['use_conv_pos'] = True
    if 'stages.2.blocks.1.pool.logit.weight' in tensors:
        options['pooling'] = 'learned'
    table = tensors.get('stages.2.blocks.3.attn.relative_position_bias_table')
    if table is not None:
        options |= {'relative_pos': True, 'tokens_per_window': (math.isqrt(table.shape[0]) + 1) // 2}
    return options


def _stem(tensors: Mapping[str, Tensor], dims: int, channels: int) -> Shapes:
    shapes: Shapes = {}
    for i, shape in ((1, (dims // 2, channels, 3, 3)), (2, (dims, dims // 2, 3, 3))):
        bn = f'patch_embed.bn{i}'
        shapes |= {f'patch_embed.conv{i}.weight': shape, **_norm(bn, shape[0])}
        shapes |= {f'{bn}.running_mean': shape[:1], f'{bn}.running_var': shape[:1]}
        if f'{bn}.num_batches_tracked' in tensors:  # old files lack it, and so may a state dict
            shapes[f'{bn}.num_batches_tracked'] = ()
    return shapes


def _with_semantic_tokens(tensors: Mapping[str, Tensor], shapes: Shapes, depth: int, heads: int) -> Shapes:
    """``shapes`` of a Swin with five of six blocks of stage 3 replaced by blocks of semantic tokens."""
    result = dict(shapes)
    for j in (j for j in range(depth) if j % 6):
        name = f'stages.2.blocks.{j}'
        del result[f'{name}.attn.relative_position_bias_table']
        for kind in ('weight', 'bias'):
            if (qkv := result.pop(f'{name}.attn.qkv.{kind}', None)) is not None:
                width = qkv[0] // 3
                result |= {f'{name}.attn.q.{kind}': (width, *qkv[1:]), f'{name}.attn.kv.{kind}': (2 * width, *qkv[1:])}
        width = result[f'{name}.norm1.weight'][0]
        result |= {f'{name}.layer_scale_1': (width,), f'{name}.layer_scale_2': (width,)}
        if f'{name}.conv_pos.weight' in tensors and j % 6 == 1:
            result |= _linear(f'{name}.conv_pos', width, 1, 3, 3)
        if f'{name}.pool.logit.weight' in tensors and j % 6 == 1:
            result |= _linear(f'{name}.pool.conv', width, 1, 3, 3) | _norm(f'{name}.pool.norm', width)
            result[f'{name}.pool.logit.weight'] = (1, width)
        # Sizes that depend on the token grid: as they are.
        if (table := tensors.get(f'{name}.attn.relative_position_bias_table')) is not None and j % 6 in (3, 4):
            result[f'{name}.attn.relative_position_bias_table'] = (table.shape[0], heads)
        if (tokens := tensors.get(f'{name}.global_tokens')) is not None and j == 2:
            result[f'{name}.global_tokens'] = (1, tokens.shape[1], width)
    return result


def _get(tensors: Mapping[str, Tensor], name: str, axes: int) -> Tensor:
    if name not in tensors:
        raise InputError(f'{name} is missing: the weights are incomplete')
    if tensors[name].dim() != axes:
        raise InputError(f'{name} has shape {tuple(tensors[name].shape)}; {axes} axes are needed')
    return tensors[name]


def _side(name: str, cells: int) -> int:
    side = math.isqrt(cells)
    if side * side != cells:
        raise InputError(f'{name} spans {cells} positions, which is no square grid')
    return side


def _window(stage: int, rows: int) -> int:
    side = _side(f'stages.{stage}.blocks.0.attn.relative_position_bias_table', rows)
    if side % 2 == 0:
        raise InputError(f'stages.{stage}: a bias table of {rows} rows belongs to no window')
    return (side + 1) // 2


def _check_windows(windows: tuple[int, ...], img_size: int, patch: int) -> None:
    for i, window in enumerate(windows):
        grid = math.ceil(img_size / (patch * 2**i))
        if window > grid:
            raise InputError(
                f'stages.{i}.blocks.0.attn.relative_position_bias_table is for a window of {window}, but the grid has '
                f'{grid} cells at img_size {img_size}: its model pads inside windows, ours clips them'
            )


def _linear(name: str, *shape: int) -> Shapes:
    return {f'{name}.weight': shape, f'{name}.bias': shape[:1]}


def _norm(name: str, width: int) -> Shapes:
    return {f'{name}.weight': (width,), f'{name}.bias': (width,)}


def _merging(stage: int, width: int) -> Shapes:
    name = f'stages.{stage}.downsample'
    return {**_norm(f'{name}.norm', 2 * width), f'{name}.reduction.weight': (width, 2 * width)}


def _has_conv_merging(tensors: Mapping[str, Tensor], stage: int) -> bool:
    reduction = tensors.get(f'stages.{stage}.downsample.reduction.weight')
    return reduction is not None and reduction.dim() == 4


def _block(name: str, width: int, ratio: float, qkv_bias: bool) -> Shapes:
    hidden = int(width * ratio)
    shapes = _norm(f'{name}.norm1', width) | _norm(f'{name}.norm2', width)
    shapes |= _linear(f'{name}.attn.qkv', 3 * width, width) | _linear(f'{name}.attn.proj', width, width)
    shapes |= _linear(f'{name}.mlp.fc1', hidden, width) | _linear(f'{name}.mlp.fc2', width, hidden)
    if not qkv_bias:
        del shapes[f'{name}.attn.qkv.bias']
    return shapes


def _stage(i: int, width: int, depth: int, heads: int, window: int, ratio: float, qkv_bias: bool) -> Shapes:
    shapes = _merging(i, width) if i else {}
    for j in range(depth):
        shapes |= _block(f'stages.{i}.blocks.{j}', width, ratio, qkv_bias)
        shapes[f'stages.{i}.blocks.{j}.attn.relative_position_bias_table'] = ((2 * window - 1) ** 2, heads)
    return shapes
