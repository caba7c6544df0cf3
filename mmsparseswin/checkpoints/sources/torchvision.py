"""torchvision: ``features.0`` is the patch embedding, odd numbers are stages, even ones mergings."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from mmsparseswin.checkpoints.sources.rules import (
    INDEX_BUFFER,
    Rules,
    Source,
    Translation,
    apply_rules,
    prefix_before,
)

_PATCH = {'0': 'proj', '2': 'norm'}
_MLP = {'0': 'fc1', '3': 'fc2'}


def feature_rules(features: str = r'features\.') -> Rules:
    """Rules for the numbered modules behind ``features`` (a regular expression); SparseSwin has them too."""
    return (
        (rf'{features}0\.([02])\.(weight|bias)', lambda m: f'patch_embed.{_PATCH[m[1]]}.{m[2]}'),
        (rf'{features}(\d+)\.(\d+)\.attn\.relative_position_index', INDEX_BUFFER),
        (
            rf'{features}(\d*[13579])\.(\d+)\.((?:norm[12]|attn\.qkv|attn\.proj)\.(?:weight|bias)'
            r'|attn\.relative_position_bias_table)',
            lambda m: f'stages.{int(m[1]) // 2}.blocks.{m[2]}.{m[3]}',
        ),
        (
            rf'{features}(\d*[13579])\.(\d+)\.mlp\.([03])\.(weight|bias)',
            lambda m: f'stages.{int(m[1]) // 2}.blocks.{m[2]}.mlp.{_MLP[m[3]]}.{m[4]}',
        ),
        (
            rf'{features}(\d*[2468])\.(norm\.weight|norm\.bias|reduction\.weight)',
            lambda m: f'stages.{int(m[1]) // 2}.downsample.{m[2]}',
        ),
    )


_RULES: Rules = (
    *feature_rules(),
    (r'norm\.(weight|bias)', r'norm.\1'),
    (r'head\.(weight|bias)', r'head.fc.\1'),
)


def _prefix(names: Iterable[str]) -> str | None:
    return prefix_before('features.0.0.weight', names)


def _translate(tensors: Mapping[str, Tensor], prefix: str) -> Translation:
    return apply_rules(tensors, prefix, _RULES)


TORCHVISION = Source('torchvision', _prefix, _translate)
