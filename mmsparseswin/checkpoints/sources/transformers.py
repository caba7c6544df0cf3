"""Hugging Face transformers: separate query, key and value; SwinModel, its classifier and SwinBackbone."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from mmsparseswin.checkpoints.sources.rules import (
    INDEX_BUFFER,
    Rules,
    Source,
    Translation,
    apply_rules,
    prefix_before,
)

_BLOCK = r'encoder\.layers\.(\d+)\.blocks\.(\d+)\.'
_STAGE = r'stages.\1.blocks.\2.'
_RULES: Rules = (
    (r'embeddings\.patch_embeddings\.projection\.(weight|bias)', r'patch_embed.proj.\1'),
    (r'embeddings\.norm\.(weight|bias)', r'patch_embed.norm.\1'),
    (_BLOCK + r'layernorm_before\.(weight|bias)', _STAGE + r'norm1.\3'),
    (_BLOCK + r'layernorm_after\.(weight|bias)', _STAGE + r'norm2.\3'),
    (_BLOCK + r'attention\.self\.(query|key|value)\.(weight|bias)', _STAGE + r'attn.\3.\4'),
    (_BLOCK + r'attention\.self\.relative_position_bias_table', _STAGE + r'attn.relative_position_bias_table'),
    (_BLOCK + r'attention\.self\.relative_position_index', INDEX_BUFFER),
    (_BLOCK + r'attention\.output\.dense\.(weight|bias)', _STAGE + r'attn.proj.\3'),
    (_BLOCK + r'intermediate\.dense\.(weight|bias)', _STAGE + r'mlp.fc1.\3'),
    (_BLOCK + r'output\.dense\.(weight|bias)', _STAGE + r'mlp.fc2.\3'),
    (
        r'encoder\.layers\.(\d+)\.downsample\.(norm\.weight|norm\.bias|reduction\.weight)',
        lambda m: f'stages.{int(m[1]) + 1}.downsample.{m[2]}',
    ),
    (r'layernorm\.(weight|bias)', r'norm.\1'),
    (r'hidden_states_norms\.stage(\d+)\.(weight|bias)', lambda m: f'norm{int(m[1]) - 1}.{m[2]}'),
)
_OUTSIDE: Rules = ((r'classifier\.(weight|bias)', r'head.fc.\1'),)


def _prefix(names: Iterable[str]) -> str | None:
    return prefix_before('embeddings.patch_embeddings.projection.weight', names)


def _translate(tensors: Mapping[str, Tensor], prefix: str) -> Translation:
    result = apply_rules(tensors, prefix, _RULES, _OUTSIDE)
    for name in [name for name in result.tensors if '.attn.query.' in name]:
        parts = [name.replace('.query.', f'.{part}.') for part in ('query', 'key', 'value')]
        if all(part in result.tensors for part in parts):
            result.tensors[name.replace('.query.', '.qkv.')] = torch.cat([result.tensors.pop(part) for part in parts])
    return result


TRANSFORMERS = Source('transformers', _prefix, _translate)
