"""Models of other libraries on random weights, and ours beside them."""

import math

import torch


def randomise(model, seed=0):
    """Draw every parameter, tables and norms too: libraries start many of them at 0 or 1, which hides a mix-up."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if p.dim() == 1:
            p.data = noise * 0.1 + (1 if name.endswith('weight') else 0)
        elif 'table' in name or 'pos' in name:
            p.data = noise * 0.3
        else:
            p.data = noise / math.sqrt(p[0].numel())
    model.eval()  # mmdet's Swin returns None here
    return model


def build(converted):
    """The converted model, strictly loaded; built from mmpretrain's registry."""
    from mmpretrain.registry import MODELS

    model = MODELS.build(converted.model)
    model.load_state_dict(converted.state_dict, strict=True)
    return model.eval()


def worst(got, expected):
    """Largest difference, relative to the largest value; printed for docs/weights.md (pytest -s)."""
    assert got.shape == expected.shape
    difference = float((got - expected).abs().max() / expected.abs().max())
    print(f'largest difference {difference:.1e}')
    return difference


def timm_swin(**options):
    """A slim Swin of timm, 7 classes."""
    from timm.models.swin_transformer import SwinTransformer

    small = dict(img_size=224, embed_dim=32, depths=(2, 2, 4, 2), num_heads=(1, 2, 4, 8), num_classes=7)
    return randomise(SwinTransformer(**small | options))
