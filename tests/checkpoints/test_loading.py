import pytest
import torch
import torch.nn.functional as F
from oracles import randomise, timm_swin, worst

import mmsparseswin
from mmsparseswin.checkpoints import convert, load_pretrained, write_weights
from mmsparseswin.errors import InputError

SWIN = dict(embed_dims=32, depths=(2, 2, 4, 2), num_heads=(1, 2, 4, 8))
SPARSE = dict(embed_dims=32, depths=(2, 2, 4), num_heads=(1, 2, 4), num_tokens=9, token_dims=256)


def swin(**options):
    return mmsparseswin.Swin(**dict(arch=SWIN) | options)


def sparse(**options):
    return mmsparseswin.SparseSwin(**dict(arch=SPARSE, img_size=96) | options)


def save(tmp_path, state_dict, name='w.pth'):
    torch.save(state_dict, tmp_path / name)
    return tmp_path / name


@pytest.fixture
def timm_file(tmp_path):
    return save(tmp_path, timm_swin().state_dict(), 'timm.pth')


def test_a_swin_file_fills_a_swin(timm_file):
    module = swin()
    report = load_pretrained(module, timm_file)
    assert sorted(report.missing) == sorted(f'norm{i}.{k}' for i in range(3) for k in ('weight', 'bias'))
    assert set(report.dropped) == {'head.fc.weight', 'head.fc.bias'}
    assert (report.unexpected, report.resized) == ([], [])
    assert len(report.matched) + len(report.missing) == len(module.state_dict())
    expected = convert(timm_file).state_dict
    for name in report.matched:
        assert torch.equal(module.state_dict()[name], expected[f'backbone.{name}'])


def test_a_swin_file_starts_a_sparse_swin(timm_file):
    module = sparse()  # 256-channel tokens: blocks and norm of Swin's stage 4 would fit by name and shape
    start = {name: t.clone() for name, t in module.state_dict().items()}
    report = load_pretrained(module, timm_file)
    assert {name for name in report.matched if name.startswith('stages.3')} == {
        'stages.3.downsample.norm.weight',
        'stages.3.downsample.norm.bias',
        'stages.3.downsample.reduction.weight',
    }
    tokens = [n for n in start if n.startswith(('stages.3.', 'norm')) and '.downsample.' not in n]
    assert set(tokens) == set(report.missing)
    assert all(torch.equal(module.state_dict()[name], start[name]) for name in tokens)
    assert any('stage 4' in reason for reason in report.dropped.values())


def test_a_sparse_swin_file_fills_stages_1_to_3_of_a_swin(tmp_path):
    report = load_pretrained(swin(), save(tmp_path, randomise(sparse(out_type='avg_featmap')).state_dict()))
    assert {name.split('.')[1] for name in report.matched if name.startswith('stages')} == {'0', '1', '2'}
    assert 'norm3.weight' in report.missing


def test_classifier_file_fills_a_detector_backbone_with_the_same_numbers(tmp_path):
    from mmdet.registry import MODELS as DETECTORS
    from mmpretrain.registry import MODELS as CLASSIFIERS

    converted = convert(timm_swin().state_dict())
    path = tmp_path / 'ours.safetensors'
    write_weights(converted.state_dict, path, {})
    classifier = CLASSIFIERS.build(converted.model)
    classifier.load_state_dict(convert(path).state_dict)
    init_cfg = dict(type='Pretrained', checkpoint=str(path))
    backbone = DETECTORS.build(dict(type='mmsparseswin.Swin', arch=SWIN, out_indices=(3,), init_cfg=init_cfg))
    backbone.init_weights()
    x = torch.randn(1, 3, 240, 201, generator=torch.Generator().manual_seed(0))
    (pooled,) = classifier.eval().backbone(x)
    (maps,) = backbone.eval()(x)
    assert worst(maps.mean((2, 3)), pooled) < 1e-5


def test_a_larger_window_resizes_the_tables(timm_file):
    module = swin(window_size=12, img_size=384)
    report = load_pretrained(module, timm_file)
    assert len(report.resized) == sum(SWIN['depths'])
    assert report.resized[0] == 'stages.0.blocks.0.attn.relative_position_bias_table (169, 1) -> (529, 1)'
    table = convert(timm_file).state_dict['backbone.stages.2.blocks.1.attn.relative_position_bias_table']
    expected = F.interpolate(table.t().view(1, 4, 13, 13), (23, 23), mode='bicubic').flatten(2)[0].t()
    got = module.stages[2].blocks[1].attn.relative_position_bias_table
    assert worst(got, expected) < 1e-6


def test_a_position_embedding_is_resized(tmp_path):
    old = randomise(swin(img_size=160, use_abs_pos_embed=True))
    report = load_pretrained(module := swin(use_abs_pos_embed=True), save(tmp_path, old.state_dict()))
    assert 'absolute_pos_embed (1, 1600, 32) -> (1, 3136, 32)' in report.resized
    grid = old.absolute_pos_embed.transpose(1, 2).view(1, 32, 40, 40)
    expected = F.interpolate(grid, (56, 56), mode='bicubic').flatten(2).transpose(1, 2)
    assert worst(module.absolute_pos_embed, expected) < 1e-6


@pytest.mark.parametrize('img_size', [64, 160])
def test_token_layers_of_another_grid_act_as_the_old_ones_at_that_size(tmp_path, img_size):
    options = dict(token_to_map='mlp', window_size=3, out_indices=(3,))
    old = randomise(sparse(**options)).eval()
    new = sparse(**options | dict(img_size=img_size)).eval()
    report = load_pretrained(new, save(tmp_path, old.state_dict()))
    assert {entry.split(' ')[0] for entry in report.resized} == {
        'stages.3.lin_t.weight',
        'stages.3.token_to_map.fc2.weight',
        'stages.3.token_to_map.fc2.bias',
    }
    x = torch.randn(1, 3, img_size, img_size, generator=torch.Generator().manual_seed(0))
    assert worst(new(x)[0], old(x)[0]) < 1e-5  # the old module resizes the same rows when it runs


def test_constant_features_give_the_same_tokens_after_a_resize(tmp_path):
    # Other people draw this layer anew when the size changes.
    old = randomise(sparse(out_type='avg_featmap'))
    new = sparse(out_type='avg_featmap', img_size=224, window_size=6)
    load_pretrained(new, save(tmp_path, old.state_dict()))
    ones = [torch.ones(1, m.stages[3].lin_t.in_features) for m in (old, new)]
    assert worst(new.stages[3].lin_t(ones[1]), old.stages[3].lin_t(ones[0])) < 1e-5


def test_prefix_selects_a_part(tmp_path):
    state = swin().state_dict()
    path = save(tmp_path, {f'teacher.backbone.{k}': v for k, v in state.items()} | {'student.x': torch.ones(1)})
    report = load_pretrained(swin(), path, prefix='teacher.backbone.')
    assert len(report.matched) == len(state)
    assert 'outside prefix' in report.dropped['student.x']
    with pytest.raises(InputError, match=r"no tensor starts with 'model\.'"):
        load_pretrained(swin(), path, prefix='model')


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        (dict(arch={**SWIN, 'depths': (2, 2, 6, 2)}), r'stages\.2 has 4 blocks in the file, 6 in the model'),
        (
            dict(arch={**SWIN, 'embed_dims': 64}),
            r'patch_embed\.proj\.weight has shape \(32, 3, 4, 4\).*\(64, 3, 4, 4\)',
        ),
        (dict(arch={**SWIN, 'num_heads': (2, 4, 8, 16)}), r'relative_position_bias_table has shape \(169, 1\)'),
        (dict(in_channels=4), r'patch_embed\.proj\.weight'),
        (dict(qkv_bias=False), r'qkv\.bias is in the file only'),
    ],
)
def test_another_architecture_is_one_error_that_names_a_tensor(timm_file, options, named):
    with pytest.raises(InputError, match=named):
        load_pretrained(swin(**options), timm_file)


@pytest.mark.parametrize('gone', ['patch_embed.norm.bias', 'stages.3.lin_t.bias', 'stages.1.downsample.norm.weight'])
def test_half_a_stage_is_an_error(tmp_path, gone):
    state = sparse().state_dict()
    del state[gone]
    with pytest.raises(InputError, match=gone):
        load_pretrained(sparse(), save(tmp_path, state))


def test_nothing_that_fits_is_an_error(tmp_path):
    with pytest.raises(InputError, match='no known Swin'):
        load_pretrained(swin(), save(tmp_path, {'conv1.weight': torch.ones(64, 3, 7, 7)}))


def test_a_failed_load_leaves_the_module_alone(tmp_path):
    state = randomise(swin()).state_dict()
    state['stages.3.blocks.1.mlp.fc2.bias'] = torch.zeros(3)
    module = swin()
    before = {name: t.clone() for name, t in module.state_dict().items()}
    with pytest.raises(InputError, match=r'stages\.3\.blocks\.1\.mlp\.fc2\.bias'):
        load_pretrained(module, save(tmp_path, state))
    assert all(torch.equal(t, before[name]) for name, t in module.state_dict().items())


def test_report_reads_counts_first(timm_file):
    lines = str(load_pretrained(sparse(), timm_file)).splitlines()
    assert lines[0].startswith('source timm: ')
    assert ' matched, ' in lines[0]
    assert ' missing, ' in lines[0]
    assert len(lines) < 10


def test_loading_prints_nothing(timm_file, capfd):
    load_pretrained(swin(), timm_file)
    assert capfd.readouterr() == ('', '')
