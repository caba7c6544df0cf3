"""Export small backbones and classifiers, run the files in their runtimes, and provoke what is refused."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmsparseswin.backbones import SparseSwin, STViTR, Swin
from mmsparseswin.cli.channel_order import read_order
from mmsparseswin.cli.predictors import Classifier
from mmsparseswin.errors import InputError
from mmsparseswin.export import exporting
from mmsparseswin.export.comparison import FileDiffersError, compare, eager, open_file
from mmsparseswin.export.exporting import check_request, export
from mmsparseswin.export.formats import FORMATS
from mmsparseswin.export.pictures import Normalize
from mmsparseswin.export.subjects import Pixels, Subject, from_config, from_name
from mmsparseswin.runtime.engines import open_engine

ROOT = Path(__file__).parents[2]
SPARSE = dict(
    embed_dims=16, depths=(1, 2, 1), num_heads=(1, 2, 4), num_tokens=9, token_dims=32, token_heads=4, token_depth=1
)
SLOW = ('torch-export',)  # half a minute each
EACH = [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in FORMATS]
SIZE = (72, 100)  # no whole windows, no whole patches of stride 32


def classifier(**options) -> Config:
    return Config(
        dict(
            default_scope='mmpretrain',
            model=dict(
                type='ImageClassifier',
                backbone=dict(type='mmsparseswin.SparseSwin', arch=SPARSE, out_type='avg_featmap', window_size=4),
                head=dict(type='LinearClsHead', num_classes=3, in_channels=32),
            ),
            data_preprocessor=dict(mean=[123.0, 117.0, 104.0], std=[58.0, 57.0, 56.0], to_rgb=True),
            **options,
        )
    )


@pytest.fixture(scope='module')
def subject() -> Subject:
    return from_config(classifier(), 'config.py')


@pytest.fixture
def pictures(tmp_path) -> list[str]:
    rng = np.random.default_rng(0)
    for index in range(3):
        blocks = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f'{index}.png'), cv2.resize(blocks, (120, 90), interpolation=cv2.INTER_CUBIC))
    return [str(tmp_path / f'{index}.png') for index in range(3)]


@pytest.mark.parametrize('name', EACH)
def test_a_classifier_takes_pictures_and_gives_its_scores(name, subject, pictures, tmp_path):
    out = tmp_path / 'out' / f'model{FORMATS[name].suffix}'
    report = export(subject, name, out, SIZE, batch=True, order='rgb', images=pictures)
    assert json.loads((out.parent / f'{out.name}.json').read_text()) == {**report, 'classes': list('012')}
    assert sorted(report['bytes']) == sorted(path.name for path in out.parent.iterdir() if path.suffix != '.json'), (
        'no file was left over'
    )
    assert report['input']['shape'] == ['batch', *SIZE, 3]
    assert report['outputs'] == [{'name': 'scores', 'shape': ['batch', 3]}]
    assert 0 < report['comparison']['outputs']['scores']['relative'] < 1e-4 or name.startswith('torch')
    # By hand, and in another batch than any that the export ran.
    seen = np.stack([cv2.resize(cv2.imread(path), SIZE[::-1])[..., ::-1] for path in [*pictures, *pictures]])
    (scores,) = open_file(name, out)(np.ascontiguousarray(seen))
    model = subject.module.model
    images = torch.from_numpy(seen.astype(np.float32)).permute(0, 3, 1, 2)
    with torch.no_grad():
        wanted = model((images - model.data_preprocessor.mean) / model.data_preprocessor.std).softmax(1)
    torch.testing.assert_close(torch.from_numpy(scores), wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('name', EACH)
def test_a_file_refuses_sizes_that_it_was_not_made_for(name, tmp_path):
    """A wrong size must not give wrong maps without a word."""
    torch.manual_seed(0)
    model = Swin(arch=dict(embed_dims=16, depths=(2, 1), num_heads=(1, 2)), window_size=4, out_indices=(0, 1)).eval()
    tiny = Subject(model, 'backbone', ('stage1', 'stage2'), None, None, {})
    out = tmp_path / f'model{FORMATS[name].suffix}'
    report = export(tiny, name, out, (36, 52))
    assert [one['shape'] for one in report['outputs']] == [[1, 16, 9, 13], [1, 32, 5, 7]]
    run = open_file(name, out)
    good = np.zeros((1, 3, 36, 52), np.float32)
    assert [one.shape for one in run(good)] == [(1, 16, 9, 13), (1, 32, 5, 7)]
    for shape in ((1, 3, 36, 56), (1, 3, 64, 64), (2, 3, 36, 52)):
        with pytest.raises(Exception, match=r'(?i)dim|shape|size|images'):
            run(np.zeros(shape, np.float32))


def of_backbone(model) -> Subject:
    names = tuple(f'stage{index + 1}' for index in model.out_indices)
    return Subject(model.eval(), 'backbone', names, Pixels('rgb', (0.0,) * 3, (255.0,) * 3), None, {})


def test_a_backbone_in_onnx_at_a_size_of_no_whole_windows(tmp_path):
    torch.manual_seed(0)
    subject = of_backbone(SparseSwin(arch=SPARSE, window_size=4))
    report = export(subject, 'onnx', tmp_path / 'model.onnx', (104, 136), batch=True)
    assert max(one['relative'] for one in report['comparison']['outputs'].values()) < 2e-5
    dims = onnx.load(tmp_path / 'model.onnx').graph.input[0].type.tensor_type.shape.dim
    assert [dims[0].dim_param, *(dim.dim_value for dim in dims[1:])] == ['batch', 3, 104, 136]


@pytest.mark.parametrize('of', [Swin, SparseSwin])
def test_whole_windows_in_onnx_take_any_number_of_images(of, tmp_path):
    """Nothing is padded at 64 pixels: other operators than at odd sizes."""
    torch.manual_seed(0)
    arch = SPARSE if of is SparseSwin else dict(embed_dims=16, depths=(1, 1, 1), num_heads=(1, 2, 4))
    report = export(of_backbone(of(arch=arch, window_size=4)), 'onnx', tmp_path / 'a.onnx', (64, 64), batch=True)
    assert report['input']['shape'] == ['batch', 3, 64, 64]


@pytest.mark.parametrize(
    'options',
    [
        dict(use_conv_pos=True, use_global=True, relative_pos=True),
        dict(pooling='learned', global_keys=9, sparta=True),
        dict(preset='det'),
        dict(preset='det', masks='official'),
    ],
    ids=str,
)
def test_stvit_r_in_onnx_takes_any_number_of_images(options, tmp_path):
    torch.manual_seed(0)
    arch = dict(embed_dims=16, depths=(1, 1, 6), num_heads=(1, 2, 4))
    subject = of_backbone(STViTR(arch=arch, window_size=4, layer_scale=1.0, out_indices=(2,), **options))
    report = export(subject, 'onnx', tmp_path / 'model.onnx', (104, 136), batch=True)
    assert max(one['relative'] for one in report['comparison']['outputs'].values()) < 2e-5
    # The export proves five images; one and two, in the runtime that users have:
    run, ours = open_file('onnx', tmp_path / 'model.onnx'), eager(subject.module)
    images = np.random.default_rng(0).standard_normal((2, 3, 104, 136), np.float32)
    np.testing.assert_allclose(run(images)[0], ours(images)[0], atol=1e-4)


class Forgetful(nn.Module):
    """Computes something else while it is traced."""

    def forward(self, image):
        return (image.mean((1, 2, 3)) * (0.9 if torch.jit.is_tracing() else 1.0),)


def test_a_file_that_differs_is_an_error_and_is_not_left(tmp_path):
    with pytest.raises(FileDiffersError, match='nothing was written'):
        export(Subject(Forgetful(), 'backbone', ('mean',), None, None, {}), 'torchscript', tmp_path / 'a.pt', (8, 8))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_export_leaves_the_file_of_before(subject, tmp_path, monkeypatch):
    out = tmp_path / 'model.pt'
    out.write_text('of before')

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, 'time_both', stop)
    with pytest.raises(KeyboardInterrupt):
        export(subject, 'torchscript', out, SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ['model.pt']
    assert out.read_text() == 'of before'


def test_values_that_are_not_finite_are_no_equality():
    def nan(images):
        return [images * np.nan]

    with pytest.raises(FileDiffersError, match='not finite'):
        compare(nan, nan, np.ones((1, 2), np.float32), False, ['x'])
    with pytest.raises(FileDiffersError, match=r'gives \[\(1, 1\)\]'):
        compare(lambda x: [x], lambda x: [x[:, :1]], np.ones((1, 2), np.float32), False, ['x'])


def test_fast_paths_are_off_while_a_file_is_written_and_on_beside_it(tmp_path, monkeypatch):
    from mmsparseswin.layers import fast_path

    seen = []

    class Spy(nn.Module):
        def forward(self, image):
            seen.append((torch.jit.is_tracing(), fast_path._enabled))
            return (image.mean((1, 2, 3)),)

    export(Subject(Spy(), 'backbone', ('mean',), None, None, {}), 'torchscript', tmp_path / 'a.pt', (8, 8))
    assert (True, False) in seen
    assert (True, True) not in seen
    assert (False, True) in seen


@pytest.mark.parametrize(
    ('flips', 'pipeline', 'order'),
    [
        (True, ['LoadImageFromFile', 'Resize'], 'rgb'),
        (False, ['mmsparseswin.LoadImageFromFile'], 'bgr'),
        (False, ['Resize'], 'rgb'),  # CIFAR's data sets give RGB
    ],
)
def test_the_channels_order_of_a_config(flips, pipeline, order, monkeypatch):
    steps = [dict(type=one) for one in pipeline]
    cfg = classifier(test_dataloader=dict(dataset=dict(type='CIFAR10', data_root='', pipeline=steps)))
    cfg.data_preprocessor.to_rgb = flips
    assert from_config(cfg, 'config.py', backbone=True).pixels.order == order
    assert read_order(cfg) == (order[::-1] if flips else order)
    monkeypatch.setattr('mmpretrain.ImageClassificationInferencer', lambda *_: SimpleNamespace(visualizer='none'))
    assert Classifier(cfg, 'model.pth', None, 0.3).channels == read_order(cfg), 'predict reads files as the pipeline'
    loader = dict(dataset=dict(type='RepeatDataset', dataset=cfg.test_dataloader.dataset))
    assert read_order(Config(dict(train_dataloader=loader)), 'train') == read_order(cfg)


def test_normalize_is_the_preprocessor_of_the_model(subject):
    picture = torch.randint(0, 256, (2, 5, 7, 3), dtype=torch.uint8)
    wanted = subject.module.model.data_preprocessor(dict(inputs=picture.permute(0, 3, 1, 2)))['inputs']
    assert torch.equal(Normalize(subject.pixels, 'bgr')(picture), wanted)
    assert torch.equal(Normalize(subject.pixels, 'rgb')(picture.flip(3)), wanted)


def test_other_models_are_refused():
    with pytest.raises(InputError, match='has no model'):
        from_config(Config(dict(default_scope='mmdet')), 'empty.py')
    cfg = classifier()
    cfg.model.head = dict(type='MultiLabelLinearClsHead', num_classes=3, in_channels=32)
    with pytest.raises(InputError, match='MultiLabelLinearClsHead predicts otherwise'):
        from_config(cfg, 'config.py')
    cfg = classifier()
    cfg.model.backbone = dict(type='ResNet', depth=18)
    with pytest.raises(InputError, match='ResNet is no backbone of mmsparseswin'):
        from_config(cfg, 'config.py', backbone=True)


def test_a_backbone_by_name_has_no_mean_and_std(tmp_path):
    with torch.device('meta'):
        subject = from_name('swin-cifar')
    with pytest.raises(InputError, match='a backbone by name has no mean'):
        export(subject, 'torchscript', tmp_path / 'a.pt', (8, 8), order='rgb')
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_before_any_work(monkeypatch, tmp_path):
    from mmsparseswin.export import formats

    monkeypatch.setattr(formats.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(InputError, match=r"needs onnx, openvino: pip install 'mmsparseswin\[export\]'"):
        check_request('openvino', tmp_path / 'model.xml', (8, 8))


def test_engines_name_what_they_cannot_read(tmp_path):
    for name in ('a.onnx', 'a.xml'):
        with pytest.raises(InputError, match='no exported model at'):
            open_engine(tmp_path / name)
        (tmp_path / name).write_text('nothing')
        with pytest.raises(InputError, match='cannot read'):
            open_engine(tmp_path / name)
    with pytest.raises(InputError, match=r'end in \.onnx or \.xml'):
        open_engine(tmp_path / 'a.pth')


def test_the_command_knows_the_formats():
    tool = runpy.run_path(str(ROOT / 'tools' / 'export.py'))
    assert tool['SUFFIXES'] == {name: one.suffix for name, one in FORMATS.items()}


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (['--dynamic', 'size'], '--dynamic size: windows and tables of a file are those of one size'),
        (['--dynamic', 'width'], '--dynamic width: only batch is offered'),
        (['--precision', 'int8'], '--precision int8: use --format onnx or openvino; torchscript is not quantised'),
        (['--precision', 'fp8'], '--precision fp8: use fp32 or int8'),
        (['--calibration', '9'], '--calibration 9: a positive number, with --precision int8'),
        (['--precision', 'bf16'], '--precision bf16: choose it where the file runs'),
        (['--out', 'model.xml'], '--out model.xml: files of --format torchscript end in .pt'),
        (['--shape', '1', '2', '3'], '--shape 1 2 3: give a height and a width'),
        (['--shape', '0'], '--shape 0 0: give a height and a width'),
        (['--backbone'], 'swin-cifar is a backbone'),
    ],
)
def test_what_is_not_offered_is_one_line_before_a_file_is_written(options, line, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        'sys.argv', ['export', 'swin-cifar', '--format', 'torchscript', '--shape', '32', '--out', 'model.pt', *options]
    )
    tool = runpy.run_path(str(ROOT / 'tools' / 'export.py'))
    with pytest.raises(InputError) as caught:
        tool['main']()
    assert str(caught.value).startswith(line)
    assert list(tmp_path.iterdir()) == []


def test_the_command_exports_a_backbone(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        'sys.argv', ['export', 'swin-cifar', '--format', 'torchscript', '--shape', '32', '40', '--out', 'm/model.pt']
    )
    runpy.run_path(str(ROOT / 'tools' / 'export.py'))['main']()
    printed = capsys.readouterr()
    assert printed.err == 'no CHECKPOINT: the weights are random\n'
    lines = printed.out.splitlines()
    assert [line.split(':')[0] for line in lines[:3]] == ['stage1', 'stage2', 'stage3']
    assert lines[-1].startswith('m/model.pt: ')
    report = json.loads(Path('m/model.pt.json').read_text())
    assert report['model'] == 'swin-cifar'
    assert report['input']['shape'] == [1, 3, 32, 40]
    assert eager(torch.jit.load('m/model.pt'))(np.zeros((1, 3, 32, 40), np.float32))[0].shape == (1, 96, 16, 20)
