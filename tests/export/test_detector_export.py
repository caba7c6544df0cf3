"""Whole one-stage detectors in files: they find what mmdet finds, on pictures of many sizes."""

from copy import deepcopy
from pathlib import Path

import cv2
import numpy as np
import pytest
import small_detectors as small
import torch
from torchvision.ops import batched_nms

from mmsparseswin.cli import evaluation
from mmsparseswin.cli.exported_predictor import exported_predictor
from mmsparseswin.cli.predictors import load_predictor
from mmsparseswin.errors import InputError
from mmsparseswin.export.comparison import FileDiffersError
from mmsparseswin.export.detector_comparison import compare_detections, match
from mmsparseswin.export.exporting import export
from mmsparseswin.export.subjects import from_config
from mmsparseswin.image_files import find_images
from mmsparseswin.runtime import Detector, load
from mmsparseswin.runtime.detections import suppress


class Case:
    """A detector, its config, data and weights, and the files that were exported from it."""

    def __init__(self, root: Path, model: dict, keep_ratio: bool = True) -> None:
        self.root, self.pictures = root, small.write_data(root)
        self.cfg = small.config(model, root, keep_ratio)
        self.weights = str(root / 'weights.pth')
        self.model = small.build(self.cfg, root / 'weights.pth')
        small.write_truth(root, self.pictures, self.model, self.cfg)
        self.reports: dict = {}

    def export(self, name: str, format: str = 'onnx', **options) -> Path:
        out = self.root / name
        subject = from_config(deepcopy(self.cfg), 'config.py', self.weights)
        self.reports[name] = export(subject, format, out, small.SHAPE, images=self.pictures, **options)
        return out


@pytest.fixture(scope='module')
def retina(tmp_path_factory) -> Case:
    case = Case(tmp_path_factory.mktemp('retina'), small.RETINA)
    case.export('inside.onnx', order='rgb')
    return case


@pytest.fixture(scope='module')
def ssd(tmp_path_factory) -> Case:
    case = Case(tmp_path_factory.mktemp('ssd'), small.SSD, keep_ratio=False)
    case.export('model.xml', format='openvino')
    return case


def check_finds(case: Case, file: Path) -> None:
    """The runtime finds on each picture what mmdet's own test step finds."""
    model = load(file)
    assert isinstance(model, Detector)
    for picture, found in zip(case.pictures, model.predict(case.pictures), strict=True):
        wanted = small.found_by_mmdet(case.model, case.cfg, picture)
        assert len(wanted) > 10
        given = [found.boxes, found.scores, found.labels]
        pairs = match([wanted.bboxes.numpy(), wanted.scores.numpy(), wanted.labels.numpy()], given)
        assert len(pairs) == len(found.boxes) == len(wanted)
        rows, places = map(list, zip(*pairs, strict=True))
        np.testing.assert_allclose(found.boxes[places], wanted.bboxes.numpy()[rows], atol=2e-2)
        np.testing.assert_allclose(found.scores[places], wanted.scores.numpy()[rows], atol=1e-4)
        assert found.names == tuple(small.CLASSES[label] for label in found.labels)
        assert (np.diff(found.scores) <= 0).all()


def test_a_retinanet_finds_what_mmdet_finds_on_padded_pictures_too(retina):
    check_finds(retina, retina.root / 'inside.onnx')
    report = retina.reports['inside.onnx']
    assert report['task'] == 'detector'
    assert report['classes'] == small.CLASSES
    assert report['padding'] == {'divisor': 32, 'value': 0.0, 'seen': True, 'left_out': False}
    assert report['comparison']['detections'] > 60
    assert max(one['relative'] for one in report['comparison']['outputs'].values()) < 1e-4


def test_an_ssd_in_openvino_finds_what_mmdet_finds(ssd):
    check_finds(ssd, ssd.root / 'model.xml')


def test_nms_outside_gives_the_same_objects_from_the_best_candidates(retina):
    file = retina.export('outside.onnx', nms='outside')
    check_finds(retina, file)
    levels = [16 * 24 * 18, 8 * 12 * 18, 4 * 6 * 18, 2 * 3 * 18]
    outputs = load(file)._engine.run(np.zeros((1, 3, *small.SHAPE), np.float32), np.array(small.SHAPE))
    assert [len(one) for one in outputs] == [sum(min(100, level) for level in levels)] * 3


def test_the_metric_of_a_file_is_that_of_its_weights(retina):
    found = []
    for weights in (retina.weights, str(retina.root / 'inside.onnx')):
        metrics, _, json_files = evaluation.evaluate(deepcopy(retina.cfg), weights)
        assert Path(json_files[0]).is_file()
        found.append(metrics['coco/bbox_mAP'])
    assert found[0] > 0.5
    assert found[1] == pytest.approx(found[0], abs=2e-3)


def test_a_file_predicts_the_records_and_pictures_of_its_weights(retina, tmp_path):
    jobs = find_images(retina.pictures)
    theirs = load_predictor(deepcopy(retina.cfg), retina.weights, 'cpu', 0.3)
    ours = exported_predictor(deepcopy(retina.cfg), str(retina.root / 'inside.onnx'), 0.3)
    wanted, found = theirs.predict(jobs[:1], None) + theirs.predict(jobs[1:2], None), ours.predict(jobs[:2], tmp_path)
    for one, other in zip(wanted, found, strict=True):
        assert {**one, 'objects': None} == {**other, 'objects': None}
        assert len(one['objects']) == len(other['objects']) > 0
        for a, b in zip(one['objects'], other['objects'], strict=True):
            assert a['category_id'] == b['category_id']
            np.testing.assert_allclose(a['bbox'], b['bbox'], atol=0.05)
    assert ours.collect(found)['categories'] == theirs.collect(wanted)['categories']
    drawn = cv2.imread(str(tmp_path / '0.png'))
    assert drawn is not None
    assert (drawn.shape[:2] == np.array(small.SIZES[0])).all()
    assert (drawn != cv2.imread(retina.pictures[0])).any()


@pytest.mark.parametrize(
    ('change', 'line'),
    [
        ({'test_dataloader.dataset.pipeline.1.scale': (80, 64)}, 'whose test pipeline differs'),
        ({'model.data_preprocessor.mean': [0.0, 0.0, 0.0]}, 'was exported with the mean'),
        ({'model.test_cfg.score_thr': 0.2}, 'another model.test_cfg'),
    ],
)
def test_a_config_that_would_give_other_objects_is_refused(change, line, retina):
    cfg = deepcopy(retina.cfg)
    cfg.merge_from_dict(change)
    with pytest.raises(InputError, match=line):
        exported_predictor(cfg, str(retina.root / 'inside.onnx'), 0.3)


def test_a_data_set_of_other_classes_is_refused(retina):
    cfg = deepcopy(retina.cfg)
    cfg.test_dataloader.dataset.metainfo.classes = ('owl', 'dog', 'cat')
    with pytest.raises(InputError, match=r'knows the classes cat, dog, owl'):
        evaluation.evaluate(cfg, str(retina.root / 'inside.onnx'))
    with pytest.raises(InputError, match='one process in float32'):
        evaluation.evaluate(deepcopy(retina.cfg), str(retina.root / 'inside.onnx'), tta=True)


def test_a_picture_that_would_be_padded_to_another_size_is_refused(retina):
    tall = np.zeros((120, 60, 3), np.uint8)
    with pytest.raises(InputError, match=r'is 96 x 48 .* 96 x 64 with padding, and the file takes 64 x 96'):
        load(retina.root / 'inside.onnx').predict(tall)


def test_a_model_that_tells_padding_from_picture_takes_whole_pictures_only(retina):
    model = load(retina.root / 'inside.onnx')
    model._padding = dict(model._padding, seen=False)
    with pytest.raises(InputError, match='tells padding from picture'):
        model.predict(retina.pictures[1])
    assert len(model.predict(retina.pictures[0])) == 1


@pytest.mark.parametrize(
    ('change', 'line'),
    [
        ({'test_cfg.nms.type': 'soft_nms'}, 'only plain nms'),
        ({'test_cfg.min_bbox_size': 4}, 'counts pixels of the picture before resizing'),
        ({'test_cfg.max_per_img': -1}, 'give the largest number'),
        ({'type': 'ATSS'}, 'ATSS is not exported whole'),
    ],
)
def test_detectors_that_are_not_known_are_refused(change, line, retina):
    cfg = deepcopy(retina.cfg)
    cfg.merge_from_dict({f'model.{key}': value for key, value in change.items()})
    with pytest.raises(InputError, match=line):
        from_config(cfg, 'config.py')


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (dict(format='torchscript'), 'detectors are exported as onnx or openvino'),
        (dict(batch=True), 'one image at a time'),
        (dict(shape=(60, 96)), 'multiples of 32'),
    ],
)
def test_what_a_file_of_a_detector_cannot_be_is_one_line(options, line, retina, tmp_path):
    subject = from_config(deepcopy(retina.cfg), 'config.py', retina.weights)
    format, shape = options.pop('format', 'onnx'), options.pop('shape', small.SHAPE)
    out = tmp_path / f'model.{"pt" if format == "torchscript" else "onnx"}'
    with pytest.raises(InputError, match=line):
        export(subject, format, out, shape, **options)
    assert list(tmp_path.iterdir()) == []


RNG = np.random.default_rng(0)
CORNERS = RNG.uniform(0, 60, (40, 2)).astype(np.float32)
FOUND = [
    np.concatenate((CORNERS, CORNERS + RNG.uniform(5, 20, (40, 2)).astype(np.float32)), 1),
    np.sort(RNG.uniform(0.1, 1, 40).astype(np.float32))[::-1],
    RNG.integers(0, 3, 40),
]
ONE = np.ones((1, 3, 8, 8), np.float32)
NAMES = ('boxes', 'scores', 'labels')


def compared(ours, theirs):
    return compare_detections(ours, theirs, ONE, ONE, [np.array([8, 8])], NAMES)


def test_equal_detections_in_another_order_agree():
    order = RNG.permutation(40)
    moved = [one[order] + shift for one, shift in zip(FOUND, (np.float32(1e-4), np.float32(1e-6), 0), strict=True)]
    agreement = compared(lambda *_: FOUND, lambda *_: moved)
    assert agreement.detections == 40
    assert agreement.by_rounding == 0
    assert 0.9e-4 < agreement.differences['boxes'].difference < 1.2e-4


def test_a_lost_a_moved_and_an_additional_object_are_differences():
    fewer = [one[1:] for one in FOUND]
    with pytest.raises(FileDiffersError, match='only eager finds an object of class'):
        compared(lambda *_: FOUND, lambda *_: fewer)
    with pytest.raises(FileDiffersError, match='only the file finds an object'):
        compared(lambda *_: fewer, lambda *_: FOUND)
    moved = [FOUND[0].copy(), *FOUND[1:]]
    moved[0][3] += 1
    with pytest.raises(FileDiffersError, match='2 of 40 detections differ'):
        compared(lambda *_: FOUND, lambda *_: moved)
    other = [*FOUND[:2], (FOUND[2] + (np.arange(40) == 5)) % 3]
    with pytest.raises(FileDiffersError, match='differ, more than rounding explains'):
        compared(lambda *_: FOUND, lambda *_: other)
    with pytest.raises(FileDiffersError, match='finds nothing on the pictures'):
        compared(*[lambda *_: [one[:0] for one in FOUND]] * 2)


def test_what_eager_itself_loses_by_rounding_is_no_difference():
    fewer = [one[:-1] for one in FOUND]

    def on_the_image(found, otherwise):
        return lambda image, _: found if float(image.flat[0]) == 1.0 else otherwise

    for one, other in ((FOUND, fewer), (fewer, FOUND)):
        agreement = compared(on_the_image(one, other), lambda *_, other=other: other)
        assert (agreement.detections, agreement.by_rounding) == (39, 1)


@pytest.mark.parametrize('agnostic', [False, True])
def test_nms_without_torch_is_torchvisions(agnostic):
    boxes, scores, labels = (torch.from_numpy(np.ascontiguousarray(one)) for one in FOUND)
    at = (scores > 0.2).nonzero().flatten()
    groups = torch.zeros_like(labels) if agnostic else labels
    wanted = at[batched_nms(boxes[at], scores[at], groups[at], 0.3)][:20]
    found = suppress(*FOUND, score_thr=0.2, iou_threshold=0.3, max_per_img=20, class_agnostic=agnostic)
    assert found.tolist() == wanted.tolist()
    assert suppress(*FOUND, 1.0, 0.3, 20, agnostic).tolist() == []
