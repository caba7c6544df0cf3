"""Files of this project: a bare backbone, a classifier or a detector."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from mmsparseswin.checkpoints.sources.rules import (
    BLOCK,
    SEMANTIC_BLOCK,
    Rules,
    Source,
    Translation,
    apply_rules,
    prefix_before,
)

_RULES: Rules = (
    (r'patch_embed\.(?:proj|norm)\.(?:weight|bias)', r'\g<0>'),
    (r'absolute_pos_embed', r'\g<0>'),
    (rf'stages\.\d+\.blocks\.\d+\.(?:{BLOCK})', r'\g<0>'),
    (r'stages\.\d+\.downsample\.(?:norm\.weight|norm\.bias|reduction\.weight)', r'\g<0>'),
    (
        r'patch_embed\.(?:conv[12]\.weight|bn[12]\.(?:weight|bias|running_mean|running_var|num_batches_tracked))',
        r'\g<0>',
    ),
    (rf'stages\.2\.blocks\.\d+\.(?:{SEMANTIC_BLOCK})', r'\g<0>'),
    (r'stages\.3\.(?:convert|convert\.[01]|lin_t|norm)\.(?:weight|bias)', r'\g<0>'),
    (r'stages\.3\.token_to_map\.(?:fc1|fc2|norm1|norm2|q|kv|proj|mlp\.fc1|mlp\.fc2)\.(?:weight|bias)', r'\g<0>'),
    (r'norm\d\.(?:weight|bias)', r'\g<0>'),
)
_HEAD: Rules = ((r'head\.fc\.(?:weight|bias)', r'\g<0>'),)


def _prefix(names: Iterable[str]) -> str | None:
    names = list(names)
    if prefix_before('stages.0.blocks.0.attn.qkv.weight', names) is None:
        return None
    prefix = prefix_before('patch_embed.proj.weight', names)
    return prefix_before('patch_embed.conv1.weight', names) if prefix is None else prefix


def _translate(tensors: Mapping[str, Tensor], prefix: str) -> Translation:
    return apply_rules(tensors, prefix, (*_RULES, *_HEAD), _HEAD)


OWN = Source('mmsparseswin', _prefix, _translate)
