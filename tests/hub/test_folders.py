"""Models saved in a folder come back with the same outputs, and a folder from elsewhere runs no code."""

import copy
import json
import pickle
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

import mmsparseswin
from mmsparseswin.errors import InputError
from mmsparseswin.hub.known_parts import check_parts
from mmsparseswin.hub.model_config import describe

CONFIGS = Path(__file__).parents[2] / 'configs'
SMALL = dict(embed_dims=8, depths=(1, 1), num_heads=(1, 2))
BACKBONES = {
    'swin': lambda: mmsparseswin.Swin(SMALL, img_size=(56, 84), out_indices=(0, 1), drop_path_rate=0.2),
    'swin, vectors': lambda: mmsparseswin.Swin(arch=SMALL, img_size=64, out_type='avg_featmap', qkv_bias=False),
    'sparse': lambda: mmsparseswin.SparseSwin('tiny', img_size=64, out_type='avg_featmap'),
    'semantic': lambda: mmsparseswin.STViTR('tiny', img_size=224),
}
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=(32, 32)), dict(type='PackInputs')]
CLASSIFIER = dict(
    default_scope='mmpretrain',
    model=dict(
        type='ImageClassifier',
        backbone=dict(
            type='mmsparseswin.Swin',
            arch=SMALL,
            img_size=56,
            out_type='avg_featmap',
            init_cfg=dict(type='Pretrained', checkpoint='/nowhere/x.pth'),
        ),
        head=dict(type='LinearClsHead', num_classes=3, in_channels=16),
    ),
    data_preprocessor=dict(mean=[1, 2, 3], std=[4, 5, 6], to_rgb=True),
    test_dataloader=dict(dataset=dict(type='CustomDataset', pipeline=PIPELINE)),
    work_dir='/home/me',
)


def run(model, size=(1, 3, 61, 70)):
    with torch.no_grad():
        found = model(torch.linspace(-1, 1, torch.Size(size).numel()).view(size))
    return found if isinstance(found, tuple) else (found,)


def build(config):
    config = Config(copy.deepcopy(config))
    config.model.pop('init_cfg', None)
    config.model.backbone.pop('init_cfg', None)
    config.model.data_preprocessor = config.data_preprocessor
    with DefaultScope.overwrite_default_scope(config.default_scope):
        return MODELS.build(config.model).eval()


@pytest.mark.parametrize('name', BACKBONES)
def test_a_backbone_comes_back(tmp_path, name):
    model = BACKBONES[name]().eval()
    assert model.save_pretrained(tmp_path / 'model') == tmp_path / 'model'
    again = mmsparseswin.from_pretrained(tmp_path / 'model')
    assert type(again) is type(model)
    assert again.given_options == model.given_options
    assert not again.training
    assert all(torch.equal(a, b) for a, b in zip(run(model), run(again), strict=True))
    assert sorted(path.name for path in (tmp_path / 'model').iterdir()) == [
        'README.md',
        'config.json',
        'model.safetensors',
    ]


def test_options_are_remembered_as_they_were_given():
    arch = dict(SMALL)
    model = mmsparseswin.Swin(arch, img_size=64)
    arch['embed_dims'] = 16
    for one in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert one.given_options == {'arch': SMALL, 'img_size': 64}
    with pytest.raises(InputError, match='has no option'):
        mmsparseswin.Swin(SMALL, window=3)


def test_options_replace_saved_ones(tmp_path):
    model = mmsparseswin.Swin(SMALL, img_size=64, out_indices=(0, 1)).eval()
    model.save_pretrained(tmp_path)
    (vector,) = run(mmsparseswin.from_pretrained(tmp_path, out_type='avg_featmap', out_indices=(1,)), (2, 3, 64, 64))
    assert torch.allclose(vector, run(model, (2, 3, 64, 64))[1].mean((2, 3)), atol=1e-6)


def test_a_classifier_comes_back_with_classes_and_preparation(tmp_path):
    model = build(CLASSIFIER)
    model.dataset_meta = {'classes': ('a', 'b', 'c')}
    mmsparseswin.save_pretrained(model, tmp_path / 'one', CLASSIFIER)
    content = json.loads((tmp_path / 'one' / 'config.json').read_text())
    assert '/nowhere' not in str(content)
    assert '/home' not in str(content)
    again = mmsparseswin.from_pretrained(tmp_path / 'one')
    assert torch.equal(run(model)[0], run(again)[0])
    assert again.dataset_meta['classes'] == ('a', 'b', 'c')
    assert again.cfg.test_dataloader.dataset.pipeline[1].scale == (32, 32)
    assert again.data_preprocessor.mean.flatten().tolist() == [1, 2, 3]
    mmsparseswin.save_pretrained(again, tmp_path / 'two')  # by its own cfg
    assert (tmp_path / 'two' / 'config.json').read_text() == (tmp_path / 'one' / 'config.json').read_text()
    with pytest.raises(InputError, match='are for a bare backbone'):
        mmsparseswin.from_pretrained(tmp_path / 'two', out_type='raw')
    with pytest.raises(InputError, match='does not know its config'):
        mmsparseswin.save_pretrained(model, tmp_path / 'three')


@pytest.mark.parametrize('kind', ['lacking', 'another', 'more', 'absent', 'code'])
def test_weights_must_fit(tmp_path, kind):
    model = mmsparseswin.Swin(SMALL, img_size=64)
    model.save_pretrained(tmp_path)
    weights = tmp_path / 'model.safetensors'
    if kind == 'absent':
        weights.unlink()
    elif kind == 'code':
        weights.write_bytes(pickle.dumps(print))
    else:
        other = mmsparseswin.Swin(dict(SMALL, depths=(1, 2) if kind == 'more' else (1, 1)), img_size=64)
        state = other.state_dict()
        if kind == 'another':
            state['patch_embed.proj.bias'] = torch.zeros(3)
        elif kind == 'lacking':
            del state['patch_embed.proj.bias']
        mmsparseswin.hub.folders.write_weights(state, weights, {})
    with pytest.raises(InputError) as error:
        mmsparseswin.from_pretrained(tmp_path)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'model': {'type': 'os.system', 'command': 'true'}}, r"model\.type is 'os\.system'"),
        ({'model': {'type': 'mmpretrain.os.system'}}, r'model\.type is'),
        ({'model': {'type': ['Swin']}}, r'model\.type is'),
        ({'model': {'type': 'TimmClassifier', 'model_name': 'x'}}, 'not among the parts'),
        ({'model': {'type': 'Swin', 'norm': {'type': 'builtins.eval'}}}, r'model\.norm\.type'),
        ({'model': {'type': 'RetinaNet', 'test_cfg': {'nms': {'type': '__import__("os")'}}}}, r'model\.test_cfg\.nms'),
        ({'model': {'type': 'Swin', '_scope_': 'antigravity'}}, r'model\._scope_'),
        ({'model': {'type': 'Swin', 'arch': '../../x.py'}}, r'model\.arch is .*may not look like a path'),
        ({'model': {'type': 'Swin', 'arch': 'http://x'}}, 'may not look like'),
        ({'model': [1]}, 'no dict with a type'),
        ({'default_scope': 'antigravity'}, 'default_scope'),
        ({'weights': '../model.safetensors'}, 'weights are'),
        ({'weights': 'run.py'}, 'weights are'),
        ({'classes': 'cat'}, 'classes are no list'),
        ({'test_pipeline': [{'type': 'os.system'}]}, r'test_pipeline\.0\.type'),
        ({'model': {'type': 'mmsparseswin.Swin', 'arch': 'none'}}, 'cannot be built: arch'),
        ({'model': {'type': 'mmsparseswin.Swin', 'archs': 'tiny'}}, 'cannot be built: Swin has no option'),
    ],
)
def test_a_config_that_could_run_code_is_refused(tmp_path, change, words):
    mmsparseswin.Swin(SMALL, img_size=64).save_pretrained(tmp_path)
    content = json.loads((tmp_path / 'config.json').read_text())
    (tmp_path / 'config.json').write_text(json.dumps({**content, **change}))
    with pytest.raises(InputError, match=words):
        mmsparseswin.from_pretrained(tmp_path)


def test_pretrained_files_of_a_config_are_not_opened(tmp_path):
    mmsparseswin.Swin(SMALL, img_size=64).save_pretrained(tmp_path)
    content = json.loads((tmp_path / 'config.json').read_text())
    content['model']['init_cfg'] = {'type': 'Pretrained', 'checkpoint': 'http://nowhere/x.pth'}
    (tmp_path / 'config.json').write_text(json.dumps(content))
    assert mmsparseswin.from_pretrained(tmp_path).init_cfg is None


@pytest.mark.parametrize('content', ['{', '[1]', '[' * 100_000, '{"model": {}}'])
def test_broken_configs_are_one_error(tmp_path, content):
    (tmp_path / 'config.json').write_text(content)
    with pytest.raises(InputError, match=r'config\.json'):
        mmsparseswin.from_pretrained(tmp_path)


@pytest.mark.slow
def test_every_config_of_ours_can_be_saved():
    paths = sorted(CONFIGS.glob('**/*.py'))
    refused = []
    for path in paths:
        config = Config.fromfile(path)
        if 'model' not in config or 'type' not in config.model:
            continue
        try:
            describe(torch.nn.Module(), config)
        except InputError as error:
            refused.append((path.name, str(error).split(',')[0]))
    assert len(paths) > 100
    # It builds what timm names, which may be on a hub.
    assert {words for _, words in refused} <= {"model.type is 'TimmClassifier'"}


@pytest.mark.parametrize(
    'name', ['cascade_sparseswin_coco', 'sparseswin/sparseswin-t_16xb64_in1k', 'quickstart/cascade_sparseswin_shapes']
)
def test_configs_of_ours_can_be_saved(name):
    config = Config.fromfile(CONFIGS / f'{name}.py')
    described = describe(torch.nn.Module(), config)
    assert described.model['type'] == config.model.type
    assert described.pipeline


def test_depth_is_bounded():
    node: dict = {'type': 'Swin'}
    for _ in range(60):
        node = {'type': 'Swin', 'inner': node}
    with pytest.raises(InputError, match='deep'):
        check_parts(node, 'model')
