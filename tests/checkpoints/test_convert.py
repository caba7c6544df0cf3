"""Test the errors, guesses and reports of convert; test_sources.py tests the numbers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from oracles import build, timm_swin

import mmsparseswin
from mmsparseswin.checkpoints import convert, write_weights
from mmsparseswin.errors import InputError

TOOL = Path(__file__).parents[2] / 'tools' / 'model_converters' / 'convert.py'
SMALL = dict(embed_dims=32, depths=(2, 2, 2), num_heads=(1, 2, 4))
SEMANTIC = dict(embed_dims=32, depths=(2, 2, 6, 2), num_heads=(1, 2, 4, 8))
SPARSE_T = dict(embed_dims=96, depths=(2, 2, 6), num_heads=(3, 6, 12))
TOKENS = dict(embed_dims=32, depths=(2, 2, 2), num_heads=(1, 2, 4), num_tokens=9, token_dims=64)


@pytest.fixture(scope='module')
def timm_state():
    return timm_swin(depths=(2, 2, 2, 2)).state_dict()


def test_an_unknown_tensor_is_an_error_that_names_it(timm_state):
    with pytest.raises(InputError, match=r'layers\.1\.blocks\.0\.attn\.logit_scale'):
        convert({**timm_state, 'layers.1.blocks.0.attn.logit_scale': torch.ones(2)})


@pytest.mark.parametrize(
    ('gone', 'named'),
    [
        ('layers.2.blocks.1.mlp.fc2.bias', r'stages\.2\.blocks\.1\.mlp\.fc2\.bias'),
        ('layers.0.blocks.0.attn.qkv.weight', 'no known Swin'),
        ('layers.3.downsample.reduction.weight', r'stages\.3\.downsample\.reduction\.weight'),
        ('patch_embed.norm.weight', r'patch_embed\.norm\.weight'),
        ('head.fc.bias', r'head\.fc'),
    ],
)
def test_half_a_model_is_an_error_that_names_what_is_missing(timm_state, gone, named):
    with pytest.raises(InputError, match=named):
        convert({name: t for name, t in timm_state.items() if name != gone})


@pytest.mark.parametrize(
    ('name', 'shape'),
    [
        ('layers.1.blocks.1.mlp.fc1.weight', (100, 64)),
        ('layers.2.blocks.0.attn.relative_position_bias_table', (170, 4)),
        ('patch_embed.proj.weight', (32, 48)),
        ('head.fc.weight', (7, 128)),
    ],
)
def test_an_impossible_shape_is_an_error_that_names_the_tensor(timm_state, name, shape):
    with pytest.raises(InputError, match=r'fc1\.weight|relative_position_bias_table|proj\.weight|head\.fc\.weight'):
        convert({**timm_state, name: torch.zeros(shape)})


def test_weights_of_another_network_are_an_error():
    from torchvision.models import resnet18

    with pytest.raises(InputError, match=r'conv1\.weight'):
        convert(resnet18().state_dict())


def test_a_source_that_it_is_not(timm_state):
    with pytest.raises(InputError, match='not weights of transformers'):
        convert(timm_state, source='transformers')
    with pytest.raises(InputError, match='choose auto or one of'):
        convert(timm_state, source='keras')


def test_swin_v2_is_an_error():
    from timm.models.swin_transformer_v2 import SwinTransformerV2

    state = SwinTransformerV2(img_size=64, window_size=4, embed_dim=16, depths=(1, 1), num_heads=(1, 2)).state_dict()
    with pytest.raises(InputError, match=r'layers\.0\.blocks\.0'):
        convert(state)


def test_nothing_is_silent(timm_state):
    converted = convert({f'backbone.{k}': v for k, v in timm_state.items()} | {'roi_head.fc.weight': torch.ones(1)})
    assert len(converted.state_dict) + len(converted.dropped) == len(timm_state) + 1
    assert 'roi_head.fc.weight' in str(converted)


OWN = {
    'cifar': lambda: mmsparseswin.Swin('cifar'),
    's3-tiny': lambda: mmsparseswin.Swin('s3-tiny'),
    'clipped windows': lambda: mmsparseswin.Swin('tiny', img_size=64),
    'two of four maps': lambda: mmsparseswin.Swin('tiny', out_indices=(1, 2)),
    'no norms, position': lambda: mmsparseswin.Swin(
        'tiny', img_size=64, output_norm=False, use_abs_pos_embed=True, out_indices=(3,)
    ),
    'sparse maps': lambda: mmsparseswin.SparseSwin(TOKENS, img_size=96),
    'sparse tokens': lambda: mmsparseswin.SparseSwin(TOKENS, img_size=96, out_type='avg_featmap'),
    'sparse mlp': lambda: mmsparseswin.SparseSwin(
        {**TOKENS, 'token_depth': 3},
        img_size=96,
        token_to_map='mlp',
        token_conversion='separable',
        token_qkv_bias=False,
    ),
    'sparse small': lambda: mmsparseswin.SparseSwin('small', out_type='avg_featmap'),
    'sparse swin-small': lambda: mmsparseswin.SparseSwin('swin-small', out_type='avg_featmap'),
    'sparse conv merging': lambda: mmsparseswin.SparseSwin(TOKENS, img_size=96, patch_merging='conv'),
    'semantic s3': lambda: mmsparseswin.STViTR('tiny', window_size=(7, 7, 14, 7)),
    'semantic tables': lambda: mmsparseswin.STViTR(
        SEMANTIC, relative_pos=True, use_global=True, use_conv_pos=True, tokens_per_window=4, pooling='learned'
    ),
    'semantic, one window': lambda: mmsparseswin.STViTR(
        SEMANTIC, relative_pos=True, use_global=True, img_size=64, window_size=4
    ),
    'semantic sparse': lambda: mmsparseswin.STViTR('small', sparta=True, img_size=128),
    'semantic sparse, other depths': lambda: mmsparseswin.STViTR(
        {**SPARSE_T, 'num_tokens': 64, 'token_dims': 768}, sparta=True
    ),
}
NAMED = {
    'cifar': 'cifar',
    's3-tiny': 's3-tiny',
    'sparse small': 'small',
    'sparse swin-small': 'swin-small',
    'semantic s3': 'tiny',
    'semantic sparse': 'small',
}
UNNAMED = ('semantic tables', 'semantic sparse, other depths')


@pytest.mark.parametrize('kind', OWN)
def test_our_own_weights_pass_through(kind):
    state = OWN[kind]().state_dict()
    converted = convert({f'backbone.{k}': v for k, v in state.items()})
    assert converted.source == 'mmsparseswin'
    assert converted.dropped == {}
    model = build(converted)
    rebuilt = model.state_dict()
    assert {k: v.shape for k, v in rebuilt.items()} == {k: v.shape for k, v in state.items()}
    arch = converted.model['arch']
    assert arch == NAMED.get(kind, arch)
    assert isinstance(arch, dict) or kind not in UNNAMED


@pytest.mark.parametrize('arch', ['large', 's3-base'])
def test_an_stvitr_of_a_size_that_it_has_no_name_for(arch):
    sizes = {key: mmsparseswin.Swin.arch_zoo[arch][key] for key in ('embed_dims', 'depths', 'num_heads')}
    with torch.device('meta'):
        converted = convert(mmsparseswin.STViTR(sizes).state_dict())
        assert converted.model['arch'] == sizes
        build(converted)


def test_a_cifar_swin_of_another_mlp_keeps_its_mlp():
    state = mmsparseswin.Swin('cifar', mlp_ratio=4.0).state_dict()
    assert convert(state).model['mlp_ratio'] == 4


def test_stages_after_the_last_output_are_left_out_and_named():
    state = mmsparseswin.Swin(SMALL, output_norm=False, img_size=64).state_dict()
    state |= {f'norm1.{kind}': torch.ones(64) for kind in ('weight', 'bias')}
    converted = convert(state)
    build(converted)  # loads strictly
    assert converted.model['out_indices'] == (1,)
    assert converted.dropped['stages.2.blocks.0.norm1.weight (our name)'].startswith('stage after the last output')
    assert len(converted.state_dict) + len(converted.dropped) == len(state)


@pytest.mark.parametrize(
    ('name', 'named'),
    [
        ('stages.2.blocks.999999999.norm1.weight', r'stages\.2\.blocks\.2 \(our name\) is missing'),
        (f'stages.2.blocks.{"9" * 5000}.norm1.weight', 'has no place in the model'),
        ('stages.999999999.blocks.0.norm1.weight', 'blocks are there of stages'),
        ('stages.x.weight', r'stages\.x\.weight \(our name\) has no place'),
        ('stages.0.blocks.0.attn.kv.bias', r'kv\.bias \(our name\) has no place'),
    ],
    ids=['block', 'digits', 'stage', 'letter', 'other'],
)
def test_a_name_that_no_model_has_is_an_error(name, named):
    state = mmsparseswin.Swin(SMALL, img_size=64).state_dict()
    with pytest.raises(InputError, match=named):
        convert({**state, name: torch.ones(32)})


@pytest.mark.parametrize(
    ('name', 'shape'),
    [
        ('stages.1.blocks.0.attn.relative_position_bias_table', (9, 0)),
        ('patch_embed.proj.weight', (0, 3, 4, 4)),
        ('patch_embed.proj.weight', (32, 3, 0, 0)),
    ],
)
def test_a_size_of_zero_is_one_error(name, shape):
    state = mmsparseswin.Swin(SMALL, img_size=64).state_dict()
    with pytest.raises(InputError):
        convert({**state, name: torch.zeros(shape)})


def test_a_window_larger_than_the_grid_is_an_error():
    state = mmsparseswin.Swin(SMALL, img_size=64, use_abs_pos_embed=True).state_dict()
    table = 'stages.2.blocks.0.attn.relative_position_bias_table'
    with pytest.raises(InputError, match='its model pads inside windows, ours clips them'):
        convert({**state, table: torch.zeros(13**2, 4)})


def test_converting_twice_changes_nothing(timm_state):
    once = convert(timm_state)
    twice = convert(once.state_dict)
    assert twice.model == once.model
    assert all(torch.equal(twice.state_dict[name], t) for name, t in once.state_dict.items())


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_written_weights_read_back_the_same(tmp_path, timm_state, suffix):
    expected = convert(timm_state)
    write_weights(expected.state_dict, tmp_path / f'w{suffix}', {'source': 'timm'})
    again = convert(tmp_path / f'w{suffix}')
    assert again.model == expected.model
    assert all(torch.equal(again.state_dict[name], t) for name, t in expected.state_dict.items())
    assert not list(tmp_path.glob('*.partial'))


def test_tool_writes_what_convert_returns_and_prints_the_report(tmp_path, timm_state):
    torch.save(timm_state, tmp_path / 'in.pth')
    command = [sys.executable, TOOL, tmp_path / 'in.pth', tmp_path / 'out.safetensors', '--source', 'timm']
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert str(convert(timm_state)) in ran.stdout
    assert convert(tmp_path / 'out.safetensors').state_dict.keys() == convert(timm_state).state_dict.keys()


def test_tool_says_one_line_and_exits_with_2(tmp_path):
    (tmp_path / 'in.pth').write_bytes(b'nonsense')
    ran = subprocess.run([sys.executable, TOOL, tmp_path / 'in.pth', 'out.pth'], capture_output=True, text=True)
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1].startswith('error: ')
    assert 'Traceback' not in ran.stderr


def test_writing_over_the_file_that_was_read(tmp_path, timm_state):
    path = tmp_path / 'w.pth'
    torch.save(timm_state, path)
    converted = convert(path)  # backed by the file
    write_weights(converted.state_dict, path, {'model': json.dumps(converted.model)})
    assert convert(path).source == 'mmsparseswin'
    assert torch.equal(converted.state_dict['head.fc.bias'], timm_state['head.fc.bias'])


def test_a_view_is_written_without_the_rest_of_its_storage(tmp_path):
    write_weights({'a': torch.zeros(1_000_000)[:2]}, tmp_path / 'w.pth', {})
    assert (tmp_path / 'w.pth').stat().st_size < 10_000


@pytest.mark.parametrize('name', ['w.bin', 'nowhere/w.pth', 'nowhere/w.safetensors'])
def test_a_place_that_cannot_be_written_is_an_error(tmp_path, name):
    with pytest.raises(InputError, match='w'):
        write_weights({'a': torch.zeros(1)}, tmp_path / name, {})
