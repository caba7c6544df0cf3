"""Export small models in int8, calibrated on the data of their config, and compare the files with eager PyTorch."""

import json
import runpy
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmsparseswin.errors import InputError
from mmsparseswin.export import calibration
from mmsparseswin.export.comparison import FileDiffersError
from mmsparseswin.export.exporting import export
from mmsparseswin.export.int8_comparison import compare_int8
from mmsparseswin.export.pictures import as_input
from mmsparseswin.export.subjects import from_config
from mmsparseswin.runtime import load

ROOT = Path(__file__).parents[2]
SHAPE = (32, 32)
TILES = 6  # of a side of a sheet of pictures


def write_sheet(folder: Path, name: str, seed: int) -> None:
    """Write a sheet of patterns whose colour and roughness differ by class, as the data set PackedCIFAR reads."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, TILES**2)
    tiles = np.stack(
        [
            np.kron(rng.normal(60 + 60 * one, 30, (2 << one, 2 << one, 3)), np.ones((16 >> one,) * 2 + (1,)))
            for one in labels
        ]
    )
    sheet = tiles.reshape(TILES, TILES, 32, 32, 3).transpose(0, 2, 1, 3, 4).reshape(TILES * 32, TILES * 32, 3)
    Image.fromarray(sheet.clip(0, 255).astype(np.uint8)).save(folder / f'{name}.png')
    meta = dict(n=TILES**2, cols=TILES, classes=['one', 'two', 'three'], labels=labels.tolist())
    (folder / f'{name}.json').write_text(json.dumps(meta))


@pytest.fixture(scope='module')
def cfg(tmp_path_factory) -> Config:
    folder = tmp_path_factory.mktemp('data')
    write_sheet(folder, 'train', 0)
    write_sheet(folder, 'test', 1)
    data = dict(type='mmsparseswin.PackedCIFAR', data_root=str(folder))
    steps = [dict(type='Resize', scale=SHAPE), dict(type='PackInputs')]
    augmented = [dict(type='RandomFlip', prob=1.0), *steps]
    backbone = dict(
        type='mmsparseswin.SparseSwin',
        arch=dict(
            embed_dims=16,
            depths=(1, 1, 1),
            num_heads=(1, 2, 4),
            num_tokens=9,
            token_dims=32,
            token_heads=4,
            token_depth=1,
        ),
        out_type='avg_featmap',
        window_size=4,
    )
    head = dict(type='LinearClsHead', num_classes=3, in_channels=32, init_cfg=dict(type='Normal', std=1.0))
    return Config(
        dict(
            default_scope='mmpretrain',
            model=dict(type='ImageClassifier', backbone=backbone, head=head),
            data_preprocessor=dict(mean=[120.0, 117.0, 104.0], std=[58.0, 57.0, 56.0], to_rgb=False),
            train_dataloader=dict(dataset=dict(**data, split='train', pipeline=augmented)),
            val_dataloader=dict(dataset=dict(**data, split='test', pipeline=steps)),
            test_dataloader=dict(dataset=dict(**data, split='test', pipeline=steps)),
        )
    )


@pytest.fixture(scope='module')
def subject(cfg):
    found = from_config(cfg, 'config.py')
    found.module.model.init_weights()
    return found


@pytest.fixture(scope='module')
def ranges(cfg) -> calibration.Calibration:
    return calibration.from_data(cfg, 24, SHAPE)


@pytest.fixture(scope='module')
def exported(subject, ranges, tmp_path_factory) -> dict[str, tuple[Path, dict]]:
    folder, made = tmp_path_factory.mktemp('files'), {}
    for name, path in (('onnx', folder / 'int8.onnx'), ('openvino', folder / 'int8.xml')):
        made[name] = path, export(subject, name, path, SHAPE, batch=True, order='rgb', int8=ranges)
    assert sorted(path.name for path in folder.iterdir()) == [
        'int8.bin', 'int8.onnx', 'int8.onnx.json', 'int8.xml', 'int8.xml.json'
    ], 'nothing is left over'  # fmt: skip
    return made


def test_pictures_are_the_data_sets_after_its_test_steps(cfg, ranges):
    assert ranges.source == ('calibrated on 24 pictures of train_dataloader, compared on 24 of val_dataloader')
    for pictures, name in ((ranges.pictures, 'train'), (ranges.compared, 'test')):
        sheet = np.asarray(Image.open(Path(cfg.val_dataloader.dataset.data_root) / f'{name}.png'))
        assert np.array_equal(pictures[0], sheet[:32, :32, ::-1]), 'BGR, and not flipped'
        assert np.array_equal(pictures[-1], sheet[-32:, -32:, ::-1])
    labels = json.loads((Path(cfg.val_dataloader.dataset.data_root) / 'test.json').read_text())['labels']
    assert [ranges.labels[0], ranges.labels[-1]] == [labels[0], labels[-1]]


@pytest.mark.parametrize('name', ['onnx', 'openvino'])
def test_a_classifier_in_int8_keeps_its_classes(name, exported, subject, ranges):
    path, report = exported[name]
    assert report['precision'] == 'int8'
    assert 0.9 < report['comparison']['outputs']['scores']['lowest_cosine'] < 1 - 1e-9, 'int8 rounds'
    model = load(path)
    found = model.predict(ranges.compared, batch_size=5)
    images = torch.from_numpy(as_input(subject.pixels, None)(ranges.compared))
    with torch.no_grad():
        wanted = subject.module(images)[0].numpy()
    classes, labels = np.array([one.label for one in found]), ranges.labels
    assert np.abs(np.stack([one.scores for one in found]) - wanted).max() < 0.2
    assert report['comparison']['same_class'] == (classes == wanted.argmax(1)).mean()
    accuracy = report['comparison']['accuracy']
    assert accuracy['file'] == round(100 * (classes == labels).mean(), 2)
    assert accuracy['eager'] == round(100 * (wanted.argmax(1) == labels).mean(), 2)


def test_weights_are_int8_and_norms_stay_float(exported):
    graph = onnx.load(exported['onnx'][0]).graph
    made = {output: node for node in graph.node for output in node.output}
    types = {one.name: one.data_type for one in graph.initializer}
    products = [node for node in graph.node if node.op_type in ('Conv', 'Gemm', 'MatMul')]
    weighted = [node for node in products if getattr(made.get(node.input[1]), 'op_type', '') == 'DequantizeLinear']
    assert len(weighted) > 10
    assert len(products) - len(weighted) == 2 * (sum(node.op_type == 'Softmax' for node in graph.node) - 1), (
        'the last one makes scores'
    )
    for node in weighted:
        dequantized = made[node.input[1]]
        assert types[dequantized.input[0]] == onnx.TensorProto.INT8
        scales = next(one for one in graph.initializer if one.name == dequantized.input[1])
        assert scales.dims, 'one scale per channel'
    for node in graph.node:
        if node.op_type in ('LayerNormalization', 'Softmax'):
            assert all(getattr(made.get(one), 'op_type', '') != 'DequantizeLinear' for one in node.input[:1])
    model = openvino.Core().read_model(exported['openvino'][0])
    constants = [one for one in model.get_ops() if one.get_type_name() == 'Constant']
    assert sum(one.get_element_type() == openvino.Type.i8 for one in constants) > 10
    softmax = [one for one in model.get_ops() if one.get_type_name() == 'Softmax']
    assert all(one.input_value(0).get_node().get_type_name() != 'FakeQuantize' for one in softmax)


def test_a_file_below_the_limit_is_refused():
    image = np.ones((1, 4), np.float32)
    scores = [np.roll([[0.7, 0.2, 0.1]], index % 3) for index in range(10)]
    given = iter([np.roll(one, 1) if index < 2 else one for index, one in enumerate(scores)])
    with pytest.raises(FileDiffersError, match=r'in int8 80\.0 % of the pictures keep their class, less than 90 %'):
        compare_int8(lambda x: [x], lambda _: [next(given)], scores, ['scores'], None)
    with pytest.raises(
        FileDiffersError, match=r'stage1 in int8 has a cosine of -1\.000 with the model, less than 0\.95'
    ):
        compare_int8(lambda x: [x], lambda x: [-x], [image], ['stage1'], None)
    with pytest.raises(FileDiffersError, match='is not finite'):
        compare_int8(lambda x: [x], lambda x: [x * np.nan], [image], ['stage1'], None)


def test_a_backbone_is_calibrated_on_named_pictures(cfg, tmp_path, monkeypatch, capsys):
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 256, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((50, 40)).save(tmp_path / f'{index}.png')
    cfg.dump(tmp_path / 'config.py')
    options = ['--format', 'onnx', '--shape', '32', '--precision', 'int8', '--out', 'm/a.onnx']
    monkeypatch.chdir(tmp_path)
    main = runpy.run_path(str(ROOT / 'tools' / 'export.py'))['main']
    monkeypatch.setattr(
        'sys.argv', ['export', 'config.py', '--backbone', *options, '--images', '.', '--calibration', '2']
    )
    main()
    assert 'stage4: cosine 0.9' in capsys.readouterr().out
    report = json.loads(Path('m/a.onnx.json').read_text())
    assert report['comparison']['pictures'] == '2 pictures of --images, for both'
    assert report['milliseconds']['file_float32'] > 0
    monkeypatch.setattr('sys.argv', ['export', 'swin-cifar', *options])
    with pytest.raises(InputError, match='swin-cifar has no data to calibrate on; name pictures by --images'):
        main()


def test_data_that_cannot_be_read_is_one_line(cfg):
    with pytest.raises(InputError, match='the config has no data to calibrate on; name pictures by --images'):
        calibration.from_data(Config(dict(default_scope='mmpretrain')), 2, SHAPE)
    moved = Config(cfg.to_dict())
    moved.val_dataloader.dataset = dict(type='CustomDataset', data_root='/nowhere', pipeline=[])
    moved.train_dataloader = moved.val_dataloader
    with pytest.raises(InputError, match='the data of the config cannot be read'):
        calibration.from_data(moved, 2, SHAPE)


def test_bfloat16_is_refused_where_the_processor_lacks_it(exported, monkeypatch):
    path = exported['openvino'][0]
    for capabilities, line in ((['FP32', 'INT8'], 'this processor has no bfloat16'), (['FP32', 'BF16'], None)):
        monkeypatch.setattr(openvino.Core, 'get_property', lambda *_, found=capabilities: found)
        if line is None:
            assert load(path, precision='bf16').task == 'classifier'
        else:
            with pytest.raises(InputError, match=line):
                load(path, precision='bf16')
    with pytest.raises(InputError, match='onnxruntime has no bf16 kernels'):
        load(exported['onnx'][0], precision='bf16')
    with pytest.raises(InputError, match=r"precision 'half': use one of fp32, bf16"):
        load(path, precision='half')
