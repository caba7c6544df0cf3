"""STViT-R: golden cases, published sizes, options, sparse tokens on top; what all backbones promise is elsewhere."""

import pytest
import torch
from golden import load_case
from oracles import build as build_converted
from safetensors.torch import save_file

from mmsparseswin import SparseSwin, STViTR, Swin
from mmsparseswin.checkpoints import convert, load_pretrained
from mmsparseswin.errors import InputError
from mmsparseswin.layers.grid import Grid

SLIM = dict(embed_dims=16, depths=(2, 2, 6, 2), num_heads=(1, 2, 4, 8))
TOKENS = dict(num_tokens=9, token_dims=32, token_heads=16)
OPTIONS = dict(use_global=True, use_conv_pos=True, relative_pos=True, shortcut=True, pooling='learned')


# docs/models/stvit_r.md, 'Detector results'; the classifiers are in test_zoo.py.
@pytest.mark.parametrize(('arch', 'expected'), [('small', 48_857_862), ('base', 86_789_128)])
def test_published_parameter_counts_of_the_detection_backbone(arch, expected):
    with torch.device('meta'):
        assert sum(p.numel() for p in STViTR(arch, preset='det').parameters()) == expected


@pytest.mark.parametrize('name', ['stvitr_cls_small_224', 'stvitr_det_small_224x224', 'stvitr_det_small_250x333'])
def test_golden(name):
    case = load_case(name)
    with torch.no_grad():
        outs = build_converted(convert(case.state_dict))(case.image)
    outs = {'logits': outs} if 'cls' in name else {f'map{i}': out for i, out in enumerate(outs)}
    assert set(outs) == set(case.content['outputs'])
    for output, out in outs.items():
        assert case.difference(out, output) < 1e-4, output


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
    model = STViTR(SLIM, preset='det').eval()
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


@pytest.mark.parametrize('options', [{}, OPTIONS, dict(sparta=True), dict(sparta=True, out_type='avg_featmap')])
def test_own_weights_come_back(options):
    torch.manual_seed(0)
    model = STViTR(SLIM | TOKENS, **options).eval()
    converted = convert(model.state_dict())
    again = build_converted(converted)
    x = torch.randn(1, 3, 100, 70)
    # Four norms: a dense backbone. shortcut leaves no trace in a file.
    again.stages[2].blocks[1].shortcut = model.stages[2].blocks[1].shortcut
    with torch.no_grad():
        for a, b in zip(again(x), model(x), strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize('out_type', ['featmap', 'raw'])
def test_sparse_tokens_are_the_stage_of_sparseswin(out_type):
    """The names and shapes of both parents, so that weights of either load."""
    with torch.device('meta'):
        both = STViTR('small', sparta=True, out_type=out_type).state_dict()
        semantic = STViTR('small', out_type=out_type).state_dict()
        sparse = SparseSwin('swin-small', out_type=out_type).state_dict()

    def part(state, *starts):
        return {n: t.shape for n, t in state.items() if n.startswith(starts)}

    stages = ('patch_embed', 'stages.0', 'stages.1', 'stages.2', 'norm0', 'norm1', 'norm2')
    assert part(both, *stages) == part(semantic, *stages)
    assert part(both, 'stages.3', 'norm3') == part(sparse, 'stages.3', 'norm3')
    assert set(both) == {*part(both, *stages), *part(both, 'stages.3', 'norm3')}


def test_sparse_tokens_are_made_of_the_third_stage():
    torch.manual_seed(0)
    options = dict(layer_scale=0.5, preset='det')
    model = STViTR(SLIM | TOKENS, sparta=True, **options).eval()
    third = STViTR(SLIM, out_indices=(2,), output_norm=False, **options).eval()
    third.load_state_dict(model.state_dict(), strict=False)
    x = torch.randn(2, 3, 150, 230)
    with torch.no_grad():
        maps, (expected,) = model(x), third(x)
        tokens, grid = expected.flatten(2).transpose(1, 2), Grid(10, 15)
        torch.testing.assert_close(model.norm2(tokens).transpose(1, 2).unflatten(2, (10, 15)), maps[2])
        last, coarse = model.stages[3](tokens, grid)
        torch.testing.assert_close(coarse.to_map(model.norm3(last)), maps[3])


@pytest.mark.parametrize('preset', ['cls', 'det'])
def test_global_keys_load_the_same_weights_and_change_nothing_up_to_the_bound(preset):
    torch.manual_seed(0)
    free = STViTR(SLIM, preset=preset, layer_scale=0.5, out_indices=(2,)).eval()
    bounded = STViTR(SLIM, preset=preset, layer_scale=0.5, out_indices=(2,), global_keys=16).eval()
    bounded.load_state_dict(free.state_dict())
    small, large = 30 * torch.randn(1, 3, 64, 64), 30 * torch.randn(1, 3, 130, 200)
    with torch.no_grad():
        assert torch.equal(free(small)[0], bounded(small)[0])
        assert not torch.allclose(free(large)[0], bounded(large)[0], atol=1e-5)


@pytest.mark.parametrize(
    'options',
    [
        dict(relative_pos=True),
        dict(global_keys=8, preset='det', masks='official'),
        dict(sparta=True, token_to_map='mlp'),
    ],
)
def test_compiles_to_one_graph_with_constant_tables(options):
    torch.manual_seed(0)
    model = STViTR(SLIM | TOKENS, layer_scale=0.5, **options).eval()
    x = torch.randn(1, 3, 130, 200)
    with torch.no_grad():
        expected = model(x)
        torch.compiler.reset()
        for got, map_ in zip(torch.compile(model, backend='eager', fullgraph=True)(x), expected, strict=True):
            torch.testing.assert_close(got, map_)


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
        (lambda: STViTR('tiny', global_keys=0), ['global_keys=0', 'positive']),
        (lambda: STViTR('tiny', global_keys=64, relative_pos=True), ['relative_pos=True', 'no single position']),
        (lambda: STViTR('tiny', sparta=True, img_size=(224, 448)), ['must be square']),
        (lambda: STViTR('tiny', windowsize=7), ['windowsize', 'window_size', 'tokens_per_window']),
    ],
)
def test_errors_list_what_exists(call, words):
    with pytest.raises(InputError) as error:
        call()
    assert all(word in str(error.value) for word in words), error.value
