"""Features in one call: models by name, weights on the way, the output of any block."""

import pytest
import torch
from mmengine.logging import MMLogger
from safetensors.torch import save_file

from mmsparseswin import SparseSwin, STViTR, Swin, create_model, list_models
from mmsparseswin.errors import InputError

SLIM = dict(embed_dims=16, depths=(2, 2, 4, 2), num_heads=(1, 2, 4, 8))
SLIM_SPARSE = dict(
    embed_dims=16, depths=(2, 2, 2), num_heads=(1, 2, 4), num_tokens=9, token_dims=32, token_heads=4, token_depth=2
)


def test_names_are_the_published_models():
    assert list_models('sparseswin-[!s]*') == ['sparseswin-base', 'sparseswin-tiny']
    assert list_models('sparseswin-s*') == ['sparseswin-small', 'sparseswin-swin-base', 'sparseswin-swin-small']
    assert list_models('*-384') == ['swin-base-384', 'swin-large-384']
    assert list_models('swin-s3-*') == ['swin-s3-base', 'swin-s3-small', 'swin-s3-tiny']
    assert set(list_models('swin-[!s]*')) == {
        'swin-tiny', 'swin-base', 'swin-large', 'swin-cifar', 'swin-base-384', 'swin-large-384'
    }  # fmt: skip
    assert list_models('stvitr-[tsb]*') == [
        'stvitr-base', 'stvitr-small', 'stvitr-sparta-base', 'stvitr-sparta-small', 'stvitr-sparta-tiny', 'stvitr-tiny'
    ]  # fmt: skip
    assert list_models('*-det-*') == ['stvitr-det-base', 'stvitr-det-small', 'stvitr-det-tiny']
    assert list_models('vit*') == []


# Blocks of 384 channels: 12 * 384**2 + 13 * 384, and 169 * 12 of a bias table or 2 * 384 of layer scales.
STVITR_UNIT = 6 * (12 * 384**2 + 13 * 384) + 169 * 12 + 5 * 2 * 384


def swin_stage_4(c, heads):
    """Patch merging from c to 2c channels, two blocks, the last norm."""
    merging = 2 * 4 * c + 8 * c**2
    return merging + 2 * (12 * (2 * c) ** 2 + 13 * 2 * c + 169 * heads) + 2 * 2 * c


SWIN_S_STAGE_4, SWIN_B_STAGE_4 = swin_stage_4(384, 24), swin_stage_4(512, 32)
# docs/models/sparse_swin.md, 'Sizes', less stages 1-3 of Swin-T and the head of 100 classes
SPARTA = {'tiny': 20_287_971 - 51_300 - 12_151_242, 'small': 29_073_006 - 76_900 - 12_151_242}

# docs/models/swin.md, 'Published variants' and 'SwinViT'; docs/models/sparse_swin.md, 'Sizes', 100 classes taken off
PARAMETERS = {
    'swin-tiny': 27_519_354,
    'swin-small': 48_837_258,
    'swin-base': 86_743_224,
    'swin-large': 194_995_476,
    'swin-base-384': 86_878_584,
    'swin-large-384': 195_198_516,
    'swin-s3-tiny': 27_559_674,
    'swin-s3-small': 48_968_298,
    'swin-s3-base': 70_356_762,
    'swin-cifar': 7_048_612 - 3_850,
    'sparseswin-tiny': 20_287_971 - 51_300,
    'sparseswin-small': 29_073_006 - 76_900,
    'sparseswin-base': 41_004_163 - 102_500,
    # Ours, by closed forms: 12 more blocks of 384 channels; Swin-B's stages 1-3 and 81 x 1024 tokens.
    'sparseswin-swin-small': 29_073_006 - 76_900 + 12 * 1_776_492,
    'sparseswin-swin-base': 59_436_664 + 29_930_069,
    # docs/models/stvit_r.md, 'Classifier' with the head taken off and 'Detector results', which counts the norms of
    # the other three maps, too. Ours: two units (12 blocks) fewer.
    'stvitr-tiny': 49_625_518 - 769_000 - 2 * STVITR_UNIT,
    'stvitr-small': 49_625_518 - 769_000,
    'stvitr-base': 87_812_336 - 1_025_000,
    'stvitr-det-tiny': 48_857_862 - 2 * (96 + 192 + 384) - 2 * STVITR_UNIT,
    'stvitr-det-small': 48_857_862 - 2 * (96 + 192 + 384),
    'stvitr-det-base': 86_789_128 - 2 * (128 + 256 + 512),
    # Ours: stage 4 and its merging and norm of Swin away, SparseSwin's stage 4 instead.
    'stvitr-sparta-tiny': 49_625_518 - 769_000 - 2 * STVITR_UNIT - SWIN_S_STAGE_4 + SPARTA['tiny'],
    'stvitr-sparta-small': 49_625_518 - 769_000 - SWIN_S_STAGE_4 + SPARTA['small'],
    'stvitr-sparta-base': 87_812_336 - 1_025_000 - SWIN_B_STAGE_4 + 29_930_069,
}


@pytest.mark.parametrize('name', list_models())
def test_every_name_builds_its_model(name):
    with torch.device('meta'):
        model = create_model(name, out_type='avg_featmap')
    assert type(model) is {'swin': Swin, 'sparseswin': SparseSwin, 'stvitr': STViTR}[name.split('-')[0]]
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


def test_pooled_vector_maps_and_tokens():
    x = torch.randn(2, 3, 37, 52)
    slim = dict(arch=SLIM, img_size=64)
    (pooled,) = create_model('swin-tiny', out_type='avg_featmap', **slim)(x)
    assert pooled.shape == (2, 128)
    maps = create_model('swin-tiny', **slim)(x)
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 10, 13), (32, 5, 7), (64, 3, 4), (128, 2, 2)]
    (two,) = create_model('swin-tiny', out_indices=(1,), **slim)(x)
    assert two.shape == (2, 32, 5, 7)
    (tokens,) = create_model('sparseswin-tiny', out_type='raw', arch=SLIM_SPARSE, img_size=64)(x)
    assert tokens.shape == (2, 9, 32)


def test_a_checkpoint_is_loaded_and_reported(tmp_path, caplog):
    from oracles import timm_swin

    theirs = timm_swin()
    path = tmp_path / 'model.safetensors'
    save_file(theirs.state_dict(), path)
    arch = dict(embed_dims=32, depths=(2, 2, 4, 2), num_heads=(1, 2, 4, 8))
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    model = create_model('swin-tiny', out_type='avg_featmap', checkpoint=path, arch=arch).eval()
    logger.removeHandler(caplog.handler)
    assert f'Swin from {path}\nsource timm: 145 matched, 0 missing' in caplog.text
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        expected = theirs.forward_head(theirs.forward_features(x), pre_logits=True)
        torch.testing.assert_close(model(x)[0], expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match=r'stages\.2 has 4 blocks'):
        create_model('swin-tiny', checkpoint=path)
    with pytest.raises(InputError, match='does not exist'):
        create_model('swin-tiny', checkpoint=tmp_path / 'none.pth')


@pytest.mark.parametrize(
    ('call', 'words'),
    [
        (lambda: create_model('swin-tinny'), ["'swin-tinny'", "'swin-tiny'", "'sparseswin-base'"]),
        (lambda: create_model('swin-tiny', out_type='maps'), ["'maps'", 'featmap', 'avg_featmap']),
        (lambda: create_model('swin-tiny', windows=7), ['windows', 'window_size']),
    ],
)
def test_errors_list_what_exists(call, words):
    with pytest.raises(InputError) as error:
        call()
    assert all(word in str(error.value) for word in words), error.value


def test_the_last_block_of_a_stage_gives_the_stage_output():
    torch.manual_seed(0)
    model = Swin(SLIM, img_size=64).eval()
    x = torch.randn(2, 3, 75, 101)
    with torch.no_grad():
        maps = model(x)
        for got, expected in zip(model.forward_intermediates(x, (1, 3, 7, 9), norm=True), maps, strict=True):
            assert torch.equal(got, expected)
        bare = model.forward_intermediates(x, [-1])[0]
        assert torch.equal(model.norm3(bare.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), maps[3])


def test_intermediate_blocks_are_those_of_timm():
    from oracles import timm_swin

    from mmsparseswin.checkpoints import convert

    theirs = timm_swin()
    converted = convert(theirs.state_dict())
    model = Swin(**{k: v for k, v in converted.model['backbone'].items() if k != 'type'}).eval()
    model.load_state_dict({k.removeprefix('backbone.'): v for k, v in converted.state_dict.items() if 'head' not in k})
    expected = []
    for layer in theirs.layers:
        for block in layer.blocks:
            block.register_forward_hook(lambda m, args, out: expected.append(out.permute(0, 3, 1, 2)))
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        theirs(x)
        got = model.forward_intermediates(x)
    assert len(got) == len(expected) == 10
    for ours, reference in zip(got, expected, strict=True):
        assert (ours - reference).abs().max() < 1e-4 * reference.abs().max()


def test_token_blocks_give_tokens():
    torch.manual_seed(0)
    model = SparseSwin(SLIM_SPARSE, img_size=64, out_type='raw').eval()
    x = torch.randn(2, 3, 75, 101)
    with torch.no_grad():
        (expected,) = model(x)
        first, last, third_stage = model.forward_intermediates(x, (-2, -1, 5))
        assert torch.equal(model.forward_intermediates(x, [-1], norm=True)[0], expected)
    assert first.shape == last.shape == (2, 9, 32)
    assert not torch.equal(first, last)
    assert third_stage.shape == (2, 64, 5, 7)


def test_padding_is_zero_and_changes_no_intermediate():
    torch.manual_seed(0)
    model = SparseSwin(SLIM_SPARSE, img_size=64).eval()
    image = torch.randn(1, 3, 50, 75)
    batch = torch.zeros(2, 4, 80, 80)
    batch[0, :3, :50, :75], batch[0, 3, :50, :75] = image, 1
    batch[1] = 1
    with torch.no_grad():
        alone, padded = model.forward_intermediates(image), model.forward_intermediates(batch)
    for a, p in zip(alone, padded, strict=True):
        if a.dim() == 3:
            torch.testing.assert_close(p[:1], a)
            continue
        h, w = a.shape[2:]
        torch.testing.assert_close(p[:1, :, :h, :w], a)
        assert not p[0, :, h:].any()
        assert not p[0, :, :, w:].any()


def test_intermediates_leave_no_hook_and_carry_gradients():
    model = Swin(SLIM, img_size=64, with_cp=True, drop_path_rate=0.0).train()
    model.forward_intermediates(torch.randn(1, 3, 64, 64), [4], norm=True)[0].pow(2).sum().backward()
    assert model.patch_embed.proj.weight.grad.abs().sum() > 0
    assert model.stages[2].blocks[1].attn.qkv.weight.grad is None  # after the chosen block
    assert not any(m._forward_hooks for m in model.modules())


def test_wrong_blocks_and_missing_norms_are_named():
    model = Swin(SLIM, img_size=64, out_type='avg_featmap')
    x = torch.randn(1, 3, 64, 64)
    for indices in ([10], [-11], []):
        with pytest.raises(InputError, match='10 blocks, 0 to 9'):
            model.forward_intermediates(x, indices)
    with pytest.raises(InputError, match='stage 0 has no norm'):
        model.forward_intermediates(x, [1], norm=True)
