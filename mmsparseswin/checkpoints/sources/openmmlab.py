"""mmdet and mmpretrain: ``w_msa`` and ``ffn`` names, merging at a stage's end in nn.Unfold's channel order."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from mmsparseswin.checkpoints.sources.rules import (
    INDEX_BUFFER,
    MASK_BUFFER,
    Rules,
    Source,
    Translation,
    apply_rules,
    prefix_before,
)

_BLOCK = r'stages\.(\d+)\.blocks\.(\d+)\.'
_STAGE = r'stages.\1.blocks.\2.'
_RULES: Rules = (
    (r'patch_embed\.projection\.(weight|bias)', r'patch_embed.proj.\1'),
    (r'patch_embed\.norm\.(weight|bias)', r'patch_embed.norm.\1'),
    (r'absolute_pos_embed', 'absolute_pos_embed'),
    (_BLOCK + r'(norm[12]\.(?:weight|bias))', _STAGE + r'\3'),
    (_BLOCK + r'attn\.w_msa\.((?:qkv|proj)\.(?:weight|bias)|relative_position_bias_table)', _STAGE + r'attn.\3'),
    (_BLOCK + r'attn\.w_msa\.relative_position_index', INDEX_BUFFER),
    (_BLOCK + r'attn\.attn_mask', MASK_BUFFER),
    (_BLOCK + r'ffn\.layers\.0\.0\.(weight|bias)', _STAGE + r'mlp.fc1.\3'),
    (_BLOCK + r'ffn\.layers\.1\.(weight|bias)', _STAGE + r'mlp.fc2.\3'),
    (
        r'stages\.(\d+)\.downsample\.(norm\.weight|norm\.bias|reduction\.weight)',
        lambda m: f'stages.{int(m[1]) + 1}.downsample.{m[2]}',
    ),
    (r'(norm\d*)\.(weight|bias)', r'\1.\2'),  # mmcls 0.x wrote norm.* for the last stage's
)
_OUTSIDE: Rules = ((r'head\.fc\.(weight|bias)', r'head.fc.\1'),)


def from_unfold_order(merging: Tensor) -> Tensor:
    """Permute the last axis (4C) of a merging's norm or reduction from nn.Unfold's order to ours.

    nn.Unfold lists channel by channel the cells (row, column) = (0,0) (0,1) (1,0) (1,1); we list cell by cell, in
    Microsoft's order (0,0) (1,0) (0,1) (1,1), all channels.
    """
    cells = merging.unflatten(-1, (-1, 4))[..., torch.tensor([0, 2, 1, 3])]
    return cells.transpose(-1, -2).flatten(-2)


def _is_classifier(names: Iterable[str], prefix: str) -> bool:
    """mmpretrain writes ``head.fc`` or one norm only, mmdet a detector or norms of several stages."""
    names = set(names)
    if 'head.fc.weight' in names:
        return True
    norms = sum(name.startswith(f'{prefix}norm') and name.endswith('.weight') for name in names)
    parts = ('neck.', 'rpn_head.', 'roi_head.', 'bbox_head.')
    detector = any(name.startswith(parts) and not name.startswith('neck.decoder.') for name in names)  # SimMIM's neck
    return norms == 1 and not detector


def _mmpretrain_prefix(names: Iterable[str]) -> str | None:
    names = list(names)
    prefix = prefix_before('patch_embed.projection.weight', names)
    return prefix if prefix is not None and _is_classifier(names, prefix) else None


def _mmdet_prefix(names: Iterable[str]) -> str | None:
    names = list(names)
    prefix = prefix_before('patch_embed.projection.weight', names)
    return None if prefix is None or _is_classifier(names, prefix) else prefix


def _translate(tensors: Mapping[str, Tensor], prefix: str) -> Translation:
    result = apply_rules(tensors, prefix, _RULES, _OUTSIDE)
    for name, tensor in result.tensors.items():
        if '.downsample.' in name:
            result.tensors[name] = from_unfold_order(tensor)
    return result


MMPRETRAIN = Source('mmpretrain', _mmpretrain_prefix, _translate)
MMDET = Source('mmdet', _mmdet_prefix, _translate)
