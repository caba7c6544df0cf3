"""STViT-R: golden cases, published sizes, padding, options, gradients."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from oracles import build as build_converted
from safetensors.torch import save_file

from mmsparseswin import STViTR, Swin
from mmsparseswin.checkpoints import convert, load_pretrained
from mmsparseswin.errors import InputError

GOLDEN = Path(__file__).parents[3] / 'shared' / 'golden'
SLIM = dict(embed_dims=16, depths=(2, 2, 6, 2), num_heads=(1, 2, 4, 8))
OPTIONS = dict(use_global=True, use_conv_pos=True, relative_pos=True, shortcut=True, pooling='learned')
BUILDERS = {
    'cls': lambda **kw: STViTR(SLIM, layer_scale=0.5, **kw),
    'det': lambda **kw: STViTR(SLIM, preset='det', layer_scale=0.5, **kw),
    'official': lambda **kw: STViTR(SLIM, preset='det', masks='official', layer_scale=0.5, **kw),
    'cls, all options': lambda **kw: STViTR(SLIM, layer_scale=0.5, **OPTIONS, **kw),
    'det, all options, two units': lambda **kw: STViTR(
        SLIM | dict(depths=(1, 1, 12, 1)), preset='det', layer_scale=0.5, tokens_per_window=4, **OPTIONS, **kw
    ),
    'window 4, 2 x 2 tokens': lambda **kw: STViTR(
        SLIM, preset='det', window_size=4, tokens_per_window=2, layer_scale=0.5, **kw
    ),
}
every_variant = pytest.mark.parametrize('build', BUILDERS.values(), ids=BUILDERS)
EXACT = {name: build for name, build in BUILDERS.items() if name != 'official'}
every_exact = pytest.mark.parametrize('build', EXACT.values(), ids=EXACT)


def parameters(model):
    return sum(p.numel() for p in model.parameters())


# Spec C4 (1000 classes) and D5.
@pytest.mark.parametrize(('arch', 'cls', 'det'), [('small', 49_625_518, 48_857_862), ('base', 87_812_336, 86_789_128)])
def test_published_parameter_counts(arch, cls, det):
    with torch.device('meta'):
        classifier, detector = STViTR(arch, out_type='avg_featmap'), STViTR(arch, preset='det')
    assert parameters(classifier) + 1000 * (classifier.out_channels[-1] + 1) == cls
    assert parameters(detector) == det


@pytest.mark.parametrize('case', ['stvitr_cls_small_224', 'stvitr_det_small_224x224', 'stvitr_det_small_250x333'])
def test_golden(case):
    if not (GOLDEN / 'golden.py').exists():
        pytest.skip('needs ../shared/golden')
    import runpy

    golden = runpy.run_path(str(GOLDEN / 'golden.py'))
    content, state, x = golden['load'](GOLDEN / f'{case}.json')
    with torch.no_grad():
        outs = build_converted(convert(state))(x)
    outs = {'logits': outs} if 'cls' in case else {f'map{i}': out for i, out in enumerate(outs)}
    assert set(outs) == set(content['outputs'])
    for name, out in outs.items():
        assert golden['worst'](out, content['outputs'][name]) < 1e-4, name


@every_variant
@pytest.mark.parametrize('size', [(31, 47), (250, 333), (101, 150), (1, 1)])
def test_maps_have_their_strides_at_any_size(build, size):
    model = build().eval()
    height, width = -(-size[0] // 4), -(-size[1] // 4)
    with torch.no_grad():
        outs = model(torch.randn(2, 3, *size))
    for out, channels in zip(outs, model.out_channels, strict=True):
        assert out.shape == (2, channels, height, width)
        assert out.isfinite().all()
        height, width = -(-height // 2), -(-width // 2)
    assert model.out_strides == (4, 8, 16, 32)


@every_exact
def test_padding_does_not_change_the_valid_area(build):
    """One image, alone and padded by different amounts, with the valid-area channel."""
    torch.manual_seed(0)
    model = build().eval()
    for p in model.parameters():  # norms and biases too: a zero token must not look like padding
        p.data += 0.1 * torch.randn_like(p)
    image = torch.randn(3, 150, 201)
    with torch.no_grad():
        alone = model(image[None])
        for height, width in ((150, 201), (160, 256), (333, 208)):
            batch = torch.full((2, 4, height, width), 7.0)  # whatever the padding holds
            batch[:, 3] = 0
            batch[0, :3, :150, :201], batch[0, 3, :150, :201] = image, 1
            batch[1, :, :50, :64] = 1
            for padded, expected in zip(model(batch), alone, strict=True):
                h, w = expected.shape[-2:]
                torch.testing.assert_close(padded[:1, :, :h, :w], expected, rtol=1e-4, atol=1e-4)
                assert not padded[0, :, h:].any()
                assert not padded[0, :, :, w:].any()


@every_variant
@pytest.mark.parametrize('out_indices', [(0, 1, 2, 3), (0,), (2,), (-1,)])
def test_every_parameter_gets_a_gradient(build, out_indices):
    model = build(out_indices=out_indices, drop_path_rate=0.0).train()
    outs = model(torch.randn(2, 3, 96, 230))
    sum((o * torch.randn_like(o)).sum() for o in outs).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@every_variant
def test_gradient_checkpointing_changes_no_gradient(build):
    torch.manual_seed(0)
    model = build(drop_path_rate=0.3).train()
    x = torch.randn(2, 3, 50, 130)
    gradients = []
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        model.zero_grad()
        torch.manual_seed(1)
        sum(o.pow(2).mean() for o in model(x)).backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


@every_variant
def test_bfloat16_stays_near_float32(build):
    torch.manual_seed(0)
    model = build().eval()
    x = torch.randn(1, 3, 60, 175)
    with torch.no_grad():
        expected = model(x)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            mixed = model(x)
        half = model.bfloat16()(x.bfloat16())
    for full, a, b in zip(expected, mixed, half, strict=True):
        assert b.dtype == torch.bfloat16
        assert (a.float() - full).abs().max() < 0.1 * full.abs().max()
        assert (b.float() - full).abs().max() < 0.1 * full.abs().max()


@pytest.mark.parametrize('name', ['use_global', 'use_conv_pos', 'relative_pos', 'shortcut', 'pooling'])
def test_every_option_changes_the_output(name):
    x = 30 * torch.randn(1, 3, 100, 150)
    outs = []
    for options in ({}, {name: OPTIONS[name]}):
        torch.manual_seed(0)
        model = STViTR(SLIM, layer_scale=0.5, out_indices=(2,), **options).eval()
        plain = STViTR(SLIM, layer_scale=0.5, out_indices=(2,)).eval()
        torch.manual_seed(1)
        for parameter in plain.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        for extra in model.load_state_dict(plain.state_dict(), strict=False).missing_keys:
            torch.nn.init.normal_(model.get_parameter(extra), std=0.5)
        with torch.no_grad():
            outs.append(model(x)[0])
    assert (outs[0] - outs[1]).abs().max() > 1e-5


def test_presets_share_names_and_layer_scale_starts_small():
    with torch.device('meta'):
        names = [{n: p.shape for n, p in STViTR('tiny', p).state_dict().items()} for p in ('cls', 'det')]
    assert names[0] == names[1]
    model = STViTR(SLIM)
    assert torch.equal(model.stages[2].blocks[1].layer_scale_1, torch.full((64,), 1e-5))
    assert not hasattr(model.stages[2].blocks[0], 'layer_scale_1')


def test_learned_tables_follow_the_size_at_hand():
    model = STViTR(SLIM, **OPTIONS)
    assert model.stages[2].blocks[2].global_tokens.shape == (1, 36, 64)
    assert model.stages[2].blocks[3].attn.relative_position_bias_table.shape == (25, 4)
    assert model.stages[2].blocks[4].attn.relative_position_bias_table.shape == (121, 4)
    assert model.stages[2].blocks[1].conv_pos.weight.shape == (64, 1, 3, 3)


def test_norm_eval_keeps_the_stem_still():
    model = STViTR(SLIM, norm_eval=True).train()
    before = model.patch_embed.bn1.running_mean.clone()
    model(torch.randn(2, 3, 32, 32))
    assert torch.equal(model.patch_embed.bn1.running_mean, before)
    model = STViTR(SLIM).train()
    model(torch.randn(2, 3, 32, 32))
    assert not torch.equal(model.patch_embed.bn1.running_mean, before)
    frozen = STViTR(SLIM, frozen_stages=1).train()
    assert not frozen.patch_embed.bn2.training
    assert frozen.stages[2].training


def test_intermediates_are_maps_of_image_and_semantic_tokens():
    torch.manual_seed(0)
    model = BUILDERS['det']().eval()
    with torch.no_grad():
        maps = model.forward_intermediates(torch.randn(1, 3, 250, 333))
    # Stage 3: 16 x 21 image tokens in 3 x 3 windows; a third row of windows has 2 rows, so 1 row of cells.
    assert [tuple(m.shape[2:]) for m in maps[4:10]] == [(16, 21), (7, 9), (7, 9), (7, 9), (7, 9), (16, 21)]


def test_starts_from_a_swin(tmp_path):
    swin = Swin(SLIM)
    path = tmp_path / 'swin.safetensors'
    save_file(swin.state_dict(), path)
    model = STViTR(SLIM)
    report = load_pretrained(model, path)
    assert not report.unexpected
    assert all(name.startswith('patch_embed.') for name in report.missing)
    ours, theirs = model.stages[2].blocks[4].attn, swin.stages[2].blocks[4].attn
    assert torch.equal(torch.cat((ours.q.weight, ours.kv.weight)), theirs.qkv.weight)
    assert torch.equal(torch.cat((ours.q.bias, ours.kv.bias)), theirs.qkv.bias)
    assert torch.equal(model.stages[2].blocks[0].attn.qkv.weight, swin.stages[2].blocks[0].attn.qkv.weight)
    assert (model.stages[2].blocks[5].layer_scale_2 == 1).all()
    with pytest.raises(InputError, match=r'stages\.2 has 6 blocks'):
        load_pretrained(STViTR(SLIM | dict(depths=(2, 2, 12, 2))), path)


@pytest.mark.parametrize('options', [{}, OPTIONS])
def test_own_weights_come_back(options, tmp_path):
    torch.manual_seed(0)
    model = STViTR(SLIM, **options).eval()
    converted = convert(model.state_dict())
    again = build_converted(converted)
    x = torch.randn(1, 3, 100, 70)
    # Four norms: a dense backbone. shortcut leaves no trace in a file.
    again.stages[2].blocks[1].shortcut = model.stages[2].blocks[1].shortcut
    with torch.no_grad():
        for a, b in zip(again(x), model(x), strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize('library', ['mmdet', 'mmpretrain'])
@pytest.mark.parametrize('name', ['mmsparseswin.STViTR', 'STViTR'])
def test_builds_from_every_registry(library, name):
    code = f"""
{'' if '.' in name else 'import mmsparseswin'}
from {library}.registry import MODELS
print(type(MODELS.build(dict(type='{name}', arch='tiny', out_indices=(0,)))).__module__)
"""
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
    assert out.strip().splitlines()[-1] == 'mmsparseswin.backbones.stvitr'


@pytest.mark.parametrize(
    ('call', 'words'),
    [
        (lambda: STViTR('large'), ["'large'", "'tiny', 'small', 'base'"]),
        (lambda: STViTR('tiny', preset='seg'), ["'seg'", "'cls', 'det'"]),
        (lambda: STViTR('tiny', masks='none'), ["'none'", "'exact', 'official'"]),
        (lambda: STViTR('tiny', pooling='mean'), ["'mean'", "'max', 'learned'"]),
        (lambda: STViTR('tiny', tokens_per_window=5), ['5', '[2, 3, 4]']),
        (lambda: STViTR('tiny', patch_size=2), ['patch_size 2', 'stride of 4']),
        (lambda: STViTR(SLIM | dict(depths=(2, 2, 8, 2))), ['(2, 2, 8, 2)', 'multiple of 6']),
        (lambda: STViTR('tiny', windowsize=7), ['windowsize', 'window_size', 'tokens_per_window']),
    ],
)
def test_errors_list_what_exists(call, words):
    with pytest.raises(InputError) as error:
        call()
    assert all(word in str(error.value) for word in words), error.value
