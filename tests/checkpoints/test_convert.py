"""What convert refuses, infers and reports; the numbers are in test_sources.py."""

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
}


@pytest.mark.parametrize('kind', OWN)
def test_our_own_weights_pass_through(kind):
    state = OWN[kind]().state_dict()
    converted = convert({f'backbone.{k}': v for k, v in state.items()})
    assert converted.source == 'mmsparseswin'
    assert converted.dropped == {}
    rebuilt = build(converted).state_dict()
    assert {k: v.shape for k, v in rebuilt.items()} == {k: v.shape for k, v in state.items()}
    assert converted.model['arch'] == {'cifar': 'cifar', 's3-tiny': 's3-tiny', 'sparse small': 'small'}.get(
        kind, converted.model['arch']
    )


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
