"""Build Swin backbones of other libraries to do the same work as ours, and compare outputs on shared weights."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mmsparseswin.checkpoints import convert
from mmsparseswin.errors import InputError

OUTPUTS = ('pooled', 'maps')  # (B, C) of the last stage, normalised and averaged; or four normalised maps

_ARCHS: dict[str, dict[str, Any]] = {
    't': dict(embed_dims=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24)),
    's': dict(embed_dims=96, depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24)),
    'b': dict(embed_dims=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32)),
}
_WINDOW = 7
# Largest difference from the fp32 baseline; the outputs come from a layer norm and are of order 1.
TOLERANCES = {torch.float32: 1e-4, torch.float16: 0.02, torch.bfloat16: 0.15}


class Backbone(nn.Module):
    """Wrap a backbone to return a tuple of tensors, averaged over their last two axes if `pool`."""

    def __init__(self, model: nn.Module, pool: bool) -> None:
        super().__init__()
        self.model, self.pool = model, pool

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return maps (B, C, H, W), or one tensor (B, C), for images (B, 3, H, W)."""
        outs = self.model(x)
        outs = (outs,) if isinstance(outs, Tensor) else tuple(outs)
        return (outs[-1].mean((-2, -1)),) if self.pool else outs


def _mmdet(arch: dict[str, Any], size: tuple[int, int], output: str) -> Backbone:
    from mmdet.models.backbones import SwinTransformer

    stages = (0, 1, 2, 3) if output == 'maps' else (3,)
    return Backbone(SwinTransformer(**arch, drop_path_rate=0.0, out_indices=stages), output == 'pooled')


def _mmpretrain(arch: dict[str, Any], size: tuple[int, int], output: str) -> Backbone:
    from mmpretrain.models.backbones import SwinTransformer

    stages = (0, 1, 2, 3) if output == 'maps' else (3,)
    # mmpretrain shrinks the window to a smaller map unless it pads; at 224 pixels no map is smaller.
    model = SwinTransformer(arch, drop_path_rate=0.0, out_indices=stages, pad_small_map=min(size) < 32 * _WINDOW)
    return Backbone(model, output == 'pooled')


def _timm(arch: dict[str, Any], size: tuple[int, int], output: str) -> Backbone:
    from timm.models.swin_transformer import SwinTransformer

    # With a fixed img_size timm's masks are constants, its fastest form; below 224 pixels it would shrink the window.
    sized: dict[str, Any] = dict(img_size=size) if min(size) >= 32 * _WINDOW else dict(strict_img_size=False)
    arch = dict(embed_dim=arch['embed_dims'], depths=arch['depths'], num_heads=arch['num_heads'])
    return Backbone(SwinTransformer(**arch, **sized, num_classes=0, drop_path_rate=0.0), pool=False)


def _torchvision(arch: dict[str, Any], size: tuple[int, int], output: str) -> Backbone:
    from torchvision.models.swin_transformer import SwinTransformer

    depths, heads = list(arch['depths']), list(arch['num_heads'])
    model = SwinTransformer([4, 4], arch['embed_dims'], depths, heads, [_WINDOW] * 2, stochastic_depth_prob=0.0)
    model.head = nn.Identity()
    return Backbone(model, pool=False)


_LIBRARIES: dict[str, Callable[[dict[str, Any], tuple[int, int], str], Backbone]] = {
    'mmdet': _mmdet,
    'mmpretrain': _mmpretrain,
    'timm': _timm,
    'torchvision': _torchvision,
}
_NO_MAPS = ('timm', 'torchvision')  # they normalise only the last stage


def list_baselines() -> list[str]:
    """Return all names that :func:`build_baseline` knows."""
    return [f'{library}:swin-{size}' for library in _LIBRARIES for size in _ARCHS]


def build_baseline(name: str, size: tuple[int, int], output: str) -> Backbone:
    """Build a Swin without head and without stochastic depth, on random weights.

    Args:
        name: one of :func:`list_baselines`.
        size: height and width of the images.
        output: one of `OUTPUTS`.

    Raises:
        InputError: unknown name, or a library that has no such output.
        ImportError: the library is not installed.
    """
    if name not in list_baselines():
        raise InputError(f'baseline {name!r} is unknown; choose one of {list_baselines()}')
    library, _, arch = name.partition(':swin-')
    if output == 'maps' and library in _NO_MAPS:
        raise InputError(f'{name} gives no normalised maps of all stages: compare --output pooled, or leave it out')
    return _LIBRARIES[library](_ARCHS[arch], size, output)


def arch_variant(model: nn.Module) -> str:
    """Return the variant of Swin ('t', 's' or 'b') that one of our backbones is, or '' if no baseline has it."""
    settings = getattr(model, 'settings', {})
    if type(model).__name__ != 'Swin' or settings['window_size'] != _WINDOW:
        return ''
    found = (variant for variant, arch in _ARCHS.items() if all(settings[key] == arch[key] for key in arch))
    return next(found, '')


def randomise(model: nn.Module) -> None:
    """Draw every parameter at random; tables near 0 and norms near 1, as they are initialised, would hide a mix-up."""
    generator = torch.Generator().manual_seed(0)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if p.dim() == 1:
            p.data = noise * 0.1 + (1 if name.endswith('weight') else 0)
        else:
            p.data = noise * (0.3 if 'table' in name else p[0].numel() ** -0.5)


def comparable_size(name: str, size: tuple[int, int]) -> tuple[int, int]:
    """Return the size to compare outputs at: the next larger one at which the library computes what the others do.

    mmdet shifts and masks the last map even if it is one window; mmpretrain does not shift the longer side of a map
    whose shorter side is one window; timm shifts before it pads, so nothing may need padding.
    """
    whole = 32 * _WINDOW  # the last map is one window
    if name.startswith('timm:'):
        return -(-size[0] // whole) * whole, -(-size[1] // whole) * whole
    if name.startswith('mmdet:') or (name.startswith('mmpretrain:') and size[0] != size[1]):
        return max(size[0], whole + 36), max(size[1], whole + 36)
    return size


def share_weights(baseline: Backbone, library: str, ours: nn.Module) -> None:
    """Load the baseline's weights into one of our backbones, strictly."""
    ours.load_state_dict(convert(baseline.model.state_dict(), library).state_dict, strict=True)


def worst_difference(outputs: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> float:
    """Return the largest absolute difference over all outputs; infinite if shapes differ or a number is not finite."""
    if [out.shape for out in outputs] != [out.shape for out in expected]:
        return float('inf')
    worst = max(float((a.float() - b.float()).abs().max()) for a, b in zip(outputs, expected, strict=True))
    return worst if worst == worst else float('inf')


def require_equal(label: str, baseline: str, worst: float, tolerance: float) -> None:
    """Raise InputError if two models differ by more than `tolerance`: their times cannot be compared."""
    if not worst <= tolerance:
        raise InputError(
            f'{label} differs from {baseline} by {worst:.2g} on the same weights and image, more than {tolerance:.2g}: '
            'their times cannot be compared'
        )
