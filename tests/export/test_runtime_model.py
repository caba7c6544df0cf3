"""Exported files take pictures by runtime.load, and give what the model gives after the config's test pipeline."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

import mmsparseswin
from mmsparseswin.backbones import Swin
from mmsparseswin.cli.resizing_steps import resizing_steps
from mmsparseswin.errors import InputError
from mmsparseswin.export.exporting import export
from mmsparseswin.export.subjects import Subject, from_config
from mmsparseswin.runtime import load
from mmsparseswin.runtime.pictures import check_steps, resize

EDGE = [
    dict(type='ResizeEdge', scale=40, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=(36, 32)),
]
SHAPE = (32, 36)
ARCH = dict(embed_dims=16, depths=(1, 1), num_heads=(1, 2))


def classifier(steps=EDGE, **options) -> Config:
    backbone = dict(type='mmsparseswin.Swin', arch=ARCH, out_type='avg_featmap', window_size=4)
    pipeline = [dict(type='LoadImageFromFile'), *steps, dict(type='PackInputs')]
    return Config(
        dict(
            default_scope='mmpretrain',
            model=dict(
                type='ImageClassifier',
                backbone=backbone,
                head=dict(type='LinearClsHead', num_classes=3, in_channels=32, init_cfg=dict(type='Normal', std=1.0)),
            ),
            data_preprocessor=dict(mean=[123.0, 117.0, 104.0], std=[58.0, 57.0, 56.0], to_rgb=True, **options),
            test_dataloader=dict(dataset=dict(type='CustomDataset', pipeline=pipeline)),
        )
    )


@pytest.fixture(scope='module')
def subject() -> Subject:
    found = from_config(classifier(), 'config.py')
    found.module.model.init_weights()
    return found._replace(classes=('cat', 'dog', 'owl'))


@pytest.fixture(scope='module')
def files(subject, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp('files')
    export(subject, 'onnx', folder / 'inside.onnx', SHAPE, batch=True, order='rgb')
    export(subject, 'onnx', folder / 'before.onnx', SHAPE)
    export(subject, 'openvino', folder / 'inside.xml', SHAPE, order='bgr')
    return {path.name: path for path in folder.glob('*.*')}


@pytest.fixture(scope='module')
def pictures(tmp_path_factory) -> list[str]:
    folder, rng = tmp_path_factory.mktemp('pictures'), np.random.default_rng(0)
    paths = []
    for name, size in (('a.png', (90, 61)), ('b.jpg', (45, 77)), ('c.png', (51, 50))):
        blocks = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / name), cv2.resize(blocks, size, interpolation=cv2.INTER_CUBIC))
        paths.append(str(folder / name))
    return paths


def scores_of(subject: Subject, paths: list[str]) -> torch.Tensor:
    """Scores of mmpretrain: its own pipeline and preprocessor, and the eager model."""
    init_default_scope('mmpretrain')
    model = subject.module.model
    pipeline = Compose(classifier().test_dataloader.dataset.pipeline)
    found = []
    for path in paths:
        packed = pipeline(dict(img_path=path))
        data = model.data_preprocessor(dict(inputs=packed['inputs'][None], data_samples=[packed['data_samples']]))
        with torch.no_grad():
            found.append(model(data['inputs'], data['data_samples'], mode='predict')[0].pred_score)
    return torch.stack(found)


@pytest.mark.parametrize('name', ['inside.onnx', 'before.onnx', 'inside.xml'])
def test_pictures_get_the_scores_of_mmpretrain(name, files, subject, pictures):
    model = load(files[name], threads=1)
    assert (model.task, model.size, model.classes) == ('classifier', SHAPE, ('cat', 'dog', 'owl'))
    wanted = scores_of(subject, pictures)
    assert wanted.std(0).max() > 1e-3, 'the pictures tell apart'
    arrays = [cv2.imread(path) for path in pictures]
    for found in (
        model.predict(pictures),
        model.predict(iter(pictures), batch_size=2),
        model.predict([pictures[0], arrays[1], Path(pictures[2])]),
        model.predict([array[..., ::-1] for array in arrays], order='rgb'),
    ):
        torch.testing.assert_close(torch.tensor(np.stack([one.scores for one in found])), wanted, rtol=1e-4, atol=1e-6)
        assert [one.label for one in found] == wanted.argmax(1).tolist()
        assert [one.name for one in found] == [model.classes[one.label] for one in found]
        assert [one.score for one in found] == [one.scores.max() for one in found]
    (one,) = model.predict(pictures[1])
    np.testing.assert_allclose(one.scores, wanted[1], rtol=1e-4, atol=1e-6)


def test_the_runtime_imports_neither_torch_nor_the_libraries(files, pictures):
    code = (
        'import sys, mmsparseswin\n'
        f'(one,) = mmsparseswin.runtime.load({str(files["inside.onnx"])!r}).predict({pictures[0]!r})\n'
        'print(one.name, sorted({"torch", "mmcv", "mmdet", "mmpretrain"} & set(sys.modules)))'
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    name, _, imported = result.stdout.strip().partition(' ')
    assert name in ('cat', 'dog', 'owl')
    assert imported == '[]'


def test_a_backbone_gives_its_maps(tmp_path):
    cfg = classifier([dict(type='Resize', scale=(36, 32))])
    cfg.model.backbone.update(out_indices=(0, 1), out_type='featmap')
    subject = from_config(cfg, 'config.py', backbone=True)
    export(subject, 'onnx', tmp_path / 'a.onnx', SHAPE, batch=True)
    model = mmsparseswin.runtime.load(tmp_path / 'a.onnx')
    batch = np.random.default_rng(0).integers(0, 256, (2, *SHAPE, 3), dtype=np.uint8)
    found = model.predict(batch)
    images = torch.from_numpy(batch[..., ::-1].astype(np.float32)).permute(0, 3, 1, 2)
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (subject.pixels.mean, subject.pixels.std))
    with torch.no_grad():
        wanted = subject.module((images - mean) / std)
    for index, one in enumerate(found):
        assert list(one) == ['stage1', 'stage2']
        for given, other in zip(one.values(), wanted, strict=True):
            torch.testing.assert_close(torch.from_numpy(given), other[index], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('size', [(61, 90), (77, 45), (40, 40), (33, 200)])
@pytest.mark.parametrize(
    'steps',
    [
        EDGE,
        [dict(type='ResizeEdge', scale=33, edge='long'), dict(type='CenterCrop', crop_size=9)],
        [dict(type='ResizeEdge', scale=35, edge='width', interpolation='area')],
        [dict(type='ResizeEdge', scale=41, edge='height', backend='pillow', interpolation='lanczos')],
        [dict(type='Resize', scale=31)],
        [dict(type='Resize', scale=(30, 21), backend='pillow', interpolation='hamming')],
        [dict(type='CenterCrop', crop_size=(7, 12))],
    ],
)
def test_each_step_is_exactly_the_libraries(steps, size):
    cfg = classifier(steps)
    found = resizing_steps(cfg)
    check_steps(json.loads(json.dumps(found)), 'a.onnx')
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    wanted = Compose(cfg.test_dataloader.dataset.pipeline[1:-1])(dict(img=picture, img_shape=size))['img']
    assert np.array_equal(resize(picture, found, wanted.shape[:2], 'picture'), wanted)


@pytest.mark.parametrize(
    ('steps', 'options', 'name'),
    [
        ([dict(type='Resize', scale=(32, 32), keep_ratio=True)], {}, 'Resize'),
        ([dict(type='Resize', scale_factor=0.5)], {}, 'Resize'),
        ([dict(type='Resize')], {}, 'Resize'),  # cannot be built
        ([dict(type='other.Shrink')], {}, 'Shrink'),
        ([dict(type='CenterCrop', crop_size=32, auto_pad=True)], {}, 'CenterCrop'),
        ([dict(type='Resize', scale=32), dict(type='Pad', size=(40, 40))], {}, 'Pad'),
        ([dict(type='Resize', scale=32, interpolation='box')], {}, 'Resize'),  # OpenCV has none
        ([dict(type='Resize', scale=30)], dict(pad_size_divisor=32), 'pad_size_divisor'),
    ],
)
def test_steps_that_are_not_repeated_are_refused(steps, options, name):
    found = resizing_steps(classifier(steps, **options))
    with pytest.raises(InputError, match=f"a.onnx: its config's test pipeline has {name}, which"):
        check_steps(found, 'a.onnx')


def test_other_sizes_and_no_pictures_are_one_line(files, pictures, tmp_path):
    model = load(files['inside.onnx'])
    (tmp_path / 'cut.jpg').write_bytes(Path(pictures[1]).read_bytes()[:200])
    (tmp_path / 'text.png').write_text('text')
    one = np.zeros((*SHAPE, 3), np.uint8)
    for given, line in [
        (str(tmp_path / 'none.png'), 'no picture at'),
        (str(tmp_path / 'cut.jpg'), 'cut.jpg cannot be read: '),
        (str(tmp_path / 'text.png'), 'text.png cannot be read: '),
        (one[..., :1], r'picture 0 has the shape \(32, 36, 1\)'),
        (one.astype(np.float32), 'the type float32; give arrays'),
        (3, 'a int is no picture'),
        ([one, np.zeros((2, 2000, 3), np.uint8)], None),
        ([], None),
    ]:
        if line is None:
            assert len(model.predict(given)) == len(given)
            continue
        with pytest.raises(InputError, match=line):
            model.predict(given)
    with pytest.raises(InputError, match="order 'gbr'"):
        model.predict(one, order='gbr')
    with pytest.raises(InputError, match='batch_size 0'):
        model.predict(one, batch_size=0)
    with pytest.raises(InputError, match=r'p: a picture of 9 x 9 .*, 9 x 9 after CenterCrop, and the file takes 8 x 8'):
        resize(np.zeros((9, 9, 3), np.uint8), [dict(type='CenterCrop', crop_size=[10, 10])], (8, 8), 'p')
    with pytest.raises(InputError, match='tells no way of resizing'):
        resize(np.zeros((9, 9, 3), np.uint8), [], (8, 8), 'p')
    with pytest.raises(InputError, match='too thin'):
        resize(np.zeros((1, 99, 3), np.uint8), [dict(EDGE[0], edge='long')], (8, 8), 'p')


def test_16_bits_are_read_as_8_with_a_warning(files, tmp_path):
    deep = np.random.default_rng(0).integers(0, 2**16, (50, 60, 3), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / 'deep.png'), deep)
    model = load(files['inside.onnx'])
    with pytest.warns(UserWarning, match=r'deep\.png has 16 bits or more a channel: read as 8 bits'):
        (found,) = model.predict(tmp_path / 'deep.png')
    eight = mmcv.imread(str(tmp_path / 'deep.png'))  # as the config's pipeline reads it
    assert eight.dtype == np.uint8
    np.testing.assert_array_equal(found.scores, model.predict(eight)[0].scores)


def test_files_that_do_not_belong_together_are_one_line(files, tmp_path):
    def copied(**changes) -> Path:
        path = tmp_path / 'inside.onnx'
        shutil.copy(files['inside.onnx'], path)
        info = json.loads(files['inside.onnx.json'].read_text())
        info.update({key: value for key, value in changes.items() if key in info})
        info['input'].update({key: value for key, value in changes.items() if key not in info})
        for key in [key for key, value in changes.items() if value == 'none']:
            del info['input'][key]
        path.with_name('inside.onnx.json').write_text(json.dumps(info))
        return path

    assert load(copied()).size == SHAPE
    for changes, line in [
        (dict(resizing='none'), 'does not tell how pictures are resized; export the model again'),
        (dict(bytes={'inside.onnx': 3}), 'does not belong to'),
        (dict(bytes={'other.onnx': 3}), 'does not belong to'),
        (dict(mmsparseswin_export=9), 'of another version'),
        (dict(shape=['batch', 30, 36, 3]), 'and its JSON file says'),
        (dict(normalised='before', mean=None), 'has no mean and std'),
        (dict(resizing=[dict(type='Albu')]), 'pipeline has Albu'),
    ]:
        with pytest.raises(InputError, match=line):
            load(copied(**changes))
    path = copied()
    for text in ('nothing', '[]', '{}'):
        path.with_name('inside.onnx.json').write_text(text)
        with pytest.raises(InputError, match='is no JSON file of mmsparseswin export'):
            load(path)
    path.with_name('inside.onnx.json').unlink()
    with pytest.raises(InputError, match=r'no inside\.onnx\.json beside it'):
        load(path)


def test_a_backbone_without_a_config_takes_no_pictures(tmp_path):
    model = Swin(arch=ARCH, window_size=4, out_indices=(1,)).eval()
    export(Subject(model, 'backbone', ('stage2',), None, None, {}), 'onnx', tmp_path / 'a.onnx', SHAPE)
    with pytest.raises(InputError, match='no mean and std'):
        load(tmp_path / 'a.onnx')
