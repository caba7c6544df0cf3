"""Folders of files of one detector for several sizes: each picture goes to the file that it fits."""

import shutil
from copy import deepcopy

import cv2
import numpy as np
import pytest
import small_detectors as small
import torch
from test_detector_export import Case

from mmsparseswin.cli import evaluation
from mmsparseswin.errors import InputError
from mmsparseswin.export.detector_comparison import match
from mmsparseswin.export.detectors import mmdet_finds
from mmsparseswin.export.pictures import Normalize
from mmsparseswin.export.sizes import export_sizes, file_of
from mmsparseswin.export.subjects import from_config
from mmsparseswin.runtime import load

SHAPES = [(96, 96), small.SHAPE]


@pytest.fixture(scope='module')
def sized(tmp_path_factory) -> Case:
    case = Case(tmp_path_factory.mktemp('sized'), small.SSD)
    case.subject = from_config(deepcopy(case.cfg), 'config.py', case.weights)
    case.folder = case.root / 'sizes'
    case.reports = export_sizes(case.subject, 'onnx', case.folder, SHAPES, images=case.pictures)
    return case


def test_each_picture_goes_to_the_file_of_its_size(sized):
    assert sorted(path.name for path in sized.folder.iterdir()) == [
        '64x96.onnx',
        '64x96.onnx.json',
        '96x96.onnx',
        '96x96.onnx.json',
    ]
    model = load(sized.folder)
    assert [one.size for one in model.files] == [(64, 96), (96, 96)]
    (found,) = model.predict(sized.pictures[0])
    (alone,) = load(sized.folder / '64x96.onnx').predict(sized.pictures[0])
    assert len(found.boxes) > 10
    np.testing.assert_array_equal(found.boxes, alone.boxes)


def test_a_picture_without_a_size_of_its_own_is_padded_as_in_a_batch_of_mmdet(sized):
    picture = cv2.resize(cv2.imread(sized.pictures[2]), (60, 120))  # 48 x 96 after resizing
    (found,) = load(sized.folder).predict(picture)
    image = torch.zeros(1, 3, 96, 96)
    resized = torch.from_numpy(cv2.resize(picture, (48, 96)))[None]
    image[..., :48] = Normalize(sized.subject.pixels, 'bgr')(resized)
    boxes, scores, labels = mmdet_finds(sized.model, image, (96, 48))
    given = [found.boxes * np.float32([48 / 60, 96 / 120] * 2), found.scores, found.labels]
    assert len(match([boxes, scores, labels], given)) == len(scores) == len(found.scores) > 10


def test_a_folder_stands_in_place_of_a_checkpoint(sized):
    metrics, _, _ = evaluation.evaluate(deepcopy(sized.cfg), str(sized.folder))
    assert metrics['coco/bbox_mAP'] > 0.5


def test_pictures_and_folders_that_do_not_fit_are_refused(sized, tmp_path):
    model = load(sized.folder)
    for one in (model, *model.files):
        one._padding = dict(one._padding, seen=False)
    with pytest.raises(InputError, match=r'96 x 48 .* the files take 64 x 96, 96 x 96: export .* --shape 96 48 too'):
        model.predict(np.zeros((120, 60, 3), np.uint8))
    with pytest.raises(InputError, match='exported detectors of several sizes'):
        load(tmp_path)
    shutil.copytree(sized.folder, tmp_path / 'mixed')
    beside = tmp_path / 'mixed' / '64x96.onnx.json'
    beside.write_text(beside.read_text().replace('"score_thr": 0.05', '"score_thr": 0.06'))
    with pytest.raises(InputError, match='several exports, which differ in detector'):
        load(tmp_path / 'mixed')


def test_what_cannot_be_a_folder_is_refused_before_a_file_is_written(sized, tmp_path):
    for shapes, folder, line in (
        ([(64, 96)] * 2, tmp_path / 'new', 'each size once'),
        (SHAPES, sized.folder, 'a new or an empty folder'),
    ):
        with pytest.raises(InputError, match=line):
            export_sizes(sized.subject, 'onnx', folder, shapes)
    with pytest.raises(InputError, match='is for detectors'):
        export_sizes(sized.subject._replace(task='classifier'), 'onnx', tmp_path / 'new', SHAPES)
    assert list(tmp_path.iterdir()) == []
    assert file_of(tmp_path, 'openvino', (3, 4)).name == '3x4.xml'


def test_a_failure_leaves_no_folder(sized, tmp_path, monkeypatch):
    from mmsparseswin.export import sizes

    def fail(subject, name, out, shape, **_):
        out.write_text('whole')
        if shape == SHAPES[1]:
            raise InputError('differs')

    monkeypatch.setattr(sizes, 'export', fail)
    with pytest.raises(InputError, match='differs'):
        export_sizes(sized.subject, 'onnx', tmp_path / 'new', SHAPES)
    assert list(tmp_path.iterdir()) == []
