"""STViT-R's classifier and detection backbone: Microsoft's names, a convolutional stem, semantic blocks in stage 3."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from mmsparseswin.checkpoints.sources.microsoft import layer_rules
from mmsparseswin.checkpoints.sources.rules import Rules, Source, Translation, apply_rules, prefix_before

_ANCHOR = 'patch_embed.proj.0.c.weight'
_CONVOLUTION = {'0': '1', '2': '2'}
_RULES: Rules = (
    (r'patch_embed\.proj\.([02])\.c\.weight', lambda m: f'patch_embed.conv{_CONVOLUTION[m[1]]}.weight'),
    (
        r'patch_embed\.proj\.([02])\.bn\.(weight|bias|running_mean|running_var|num_batches_tracked)',
        lambda m: f'patch_embed.bn{_CONVOLUTION[m[1]]}.{m[2]}',
    ),
    (r'layers\.2\.blocks\.(\d+)\.(attn\.(?:q|kv)\.(?:weight|bias)|layer_scale_[12])', r'stages.2.blocks.\1.\2'),
    (r'layers\.2\.blocks\.(\d+)\.conv_pos\.proj\.0\.(weight|bias)', r'stages.2.blocks.\1.conv_pos.\2'),
    (r'layers\.2\.semantic_token2', r'stages.2.blocks.2.global_tokens'),
    *layer_rules(merging_at_end=True),
)


def _classifier_prefix(names: Iterable[str]) -> str | None:
    names = list(names)
    prefix = prefix_before(_ANCHOR, names)
    return prefix if prefix is not None and f'{prefix}norm0.weight' not in names else None


def _detector_prefix(names: Iterable[str]) -> str | None:
    names = list(names)
    prefix = prefix_before(_ANCHOR, names)
    return prefix if prefix is not None and f'{prefix}norm0.weight' in names else None


def _translate(tensors: Mapping[str, Tensor], prefix: str) -> Translation:
    return apply_rules(tensors, prefix, _RULES)


STVITR_CLS = Source('stvitr_cls', _classifier_prefix, _translate, {'preset': 'cls'})
# The masks its weights were trained with.
STVITR_DET = Source('stvitr_det', _detector_prefix, _translate, {'preset': 'det', 'masks': 'official'})
