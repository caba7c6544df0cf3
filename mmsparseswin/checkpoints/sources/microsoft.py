"""Microsoft's Swin, its detection fork, SimMIM and Cream's S3: ``layers.i``, merging at a stage's end."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from mmsparseswin.checkpoints.sources.rules import (
    BLOCK,
    INDEX_BUFFER,
    MASK_BUFFER,
    Rules,
    Source,
    Translation,
    apply_rules,
    prefix_before,
)


def layer_rules(merging_at_end: bool) -> Rules:
    """Rules for ``layers.i`` names; ours have the merging at the start of the next stage."""
    shift = int(merging_at_end)
    return (
        (r'patch_embed\.(proj|norm)\.(weight|bias)', r'patch_embed.\1.\2'),
        (r'absolute_pos_embed', 'absolute_pos_embed'),
        (rf'layers\.(\d+)\.blocks\.(\d+)\.({BLOCK})', r'stages.\1.blocks.\2.\3'),
        (
            r'layers\.(\d+)\.downsample\.(norm\.weight|norm\.bias|reduction\.weight)',
            lambda m: f'stages.{int(m[1]) + shift}.downsample.{m[2]}',
        ),
        (r'layers\.\d+\.blocks\.\d+\.attn\.relative_position_index', INDEX_BUFFER),
        (r'layers\.\d+\.blocks\.\d+\.attn_mask', MASK_BUFFER),
        (r'(norm\d*)\.(weight|bias)', r'\1.\2'),
        (r'head\.(?:fc\.)?(weight|bias)', r'head.fc.\1'),
    )


def is_layered(names: Iterable[str]) -> str | None:
    """Prefix of a file with ``layers.i.blocks.j`` names, Microsoft's or timm's."""
    names = list(names)
    if prefix_before('layers.0.blocks.0.attn.qkv.weight', names) is None:
        return None
    return prefix_before('patch_embed.proj.weight', names)


def merging_at_end(names: Iterable[str], prefix: str) -> bool:
    """Return True if stage 0 ends with a merging (Microsoft, timm before 0.9) and False if stage 1 starts with it."""
    return any(name.startswith(f'{prefix}layers.0.downsample.') for name in names)


def is_timm(names: Iterable[str], prefix: str) -> bool:
    """Return True for ``layers.i`` names of timm 0.9 or newer. Older timm files look like Microsoft's."""
    names = list(names)
    starts = any(name.startswith(f'{prefix}layers.1.downsample.') for name in names)
    return f'{prefix}head.fc.weight' in names or (starts and not merging_at_end(names, prefix))


def _prefix(names: Iterable[str]) -> str | None:
    names = list(names)
    prefix = is_layered(names)
    return None if prefix is None or is_timm(names, prefix) else prefix


def _translate(tensors: Mapping[str, Tensor], prefix: str) -> Translation:
    return apply_rules(tensors, prefix, layer_rules(merging_at_end=True))


MICROSOFT = Source('microsoft', _prefix, _translate)
