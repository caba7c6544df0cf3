"""Files of masked-image pre-training: what SimMIM and MAE add is dropped and named; the backbone is whole."""

import pytest
import torch
from oracles import build, randomise, timm_swin, worst

import mmsparseswin
from mmsparseswin.checkpoints import convert, load_pretrained
from mmsparseswin.errors import InputError

ARCH = dict(embed_dims=32, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8))
DECODERS = ('decoder.0.weight', 'decoder_embed.bias', 'decoder_blocks.0.attn.qkv.weight', 'decoder_pos_embed')


def simmim_of_mmpretrain():
    from mmpretrain.registry import MODELS

    arch = {name: list(value) if isinstance(value, tuple) else value for name, value in ARCH.items()}
    return MODELS.build(
        dict(
            type='SimMIM',
            backbone=dict(type='SimMIMSwinTransformer', arch=arch, img_size=224),
            neck=dict(type='SimMIMLinearDecoder', in_channels=256, encoder_stride=32),
            head=dict(type='SimMIMHead', patch_size=4, loss=dict(type='PixelReconstructionLoss', criterion='L1')),
        )
    )


def test_mmpretrain_simmim_keeps_its_maps():
    theirs = randomise(simmim_of_mmpretrain())
    converted = convert({'meta': {}, 'state_dict': theirs.state_dict()})
    assert converted.source == 'mmpretrain'
    assert 'mask token' in converted.dropped['backbone.mask_token']
    assert 'neck.decoder.0.weight' in converted.dropped
    assert 'mask token' in str(converted)
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    (features,) = build(converted)(x)
    assert worst(features, theirs.backbone(x, None)[0]) < 1e-4


def test_transformers_masked_image_modeling():
    from transformers import SwinConfig, SwinForMaskedImageModeling

    cfg = SwinConfig(embed_dim=32, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8], window_size=7, encoder_stride=32)
    converted = convert(SwinForMaskedImageModeling(cfg).state_dict())
    assert converted.source == 'transformers'
    assert {'swin.embeddings.mask_token', 'decoder.0.weight'} <= set(converted.dropped)


def files():
    """State dicts of bare backbones, by the owner of their names."""
    from mmdet.models import SwinTransformer

    yield 'timm', timm_swin(num_classes=0, depths=(2, 2, 2, 2)).state_dict()
    yield 'mmdet', SwinTransformer(**ARCH).state_dict()
    yield 'mmsparseswin', mmsparseswin.Swin(arch=ARCH, out_indices=(3,)).state_dict()


@pytest.mark.parametrize(('source', 'state'), list(files()), ids=lambda value: value if isinstance(value, str) else '')
@pytest.mark.parametrize('prefix', ['', 'encoder.'])
def test_mask_token_and_decoder_are_dropped_from_any_source(tmp_path, source, state, prefix):
    state = {prefix + name: tensor for name, tensor in state.items()}
    extra = {f'{prefix}{name}': torch.ones(2, 2) for name in ('mask_token', *DECODERS)}
    extra |= {name: torch.ones(2, 2) for name in DECODERS}
    converted = convert(state | extra)
    assert converted.source == source
    assert set(extra) <= set(converted.dropped)
    assert all('pre-training' in converted.dropped[prefix + name] for name in ('mask_token', *DECODERS))
    torch.save(state | extra, tmp_path / 'file.pth')
    report = load_pretrained(mmsparseswin.Swin(arch=ARCH, out_indices=(0, 1, 2, 3)), tmp_path / 'file.pth')
    assert set(extra) <= set(report.dropped)
    assert report.unexpected == []
    assert 'mask token' in str(report)


def test_other_unknown_parts_are_still_refused():
    state = timm_swin(depths=(2, 2, 2, 2)).state_dict()
    for name in ('layers.0.decoder.weight', 'mask_tokens', 'recoder.weight'):
        with pytest.raises(InputError, match=name.replace('.', r'\.')):
            convert(state | {name: torch.ones(2)})
