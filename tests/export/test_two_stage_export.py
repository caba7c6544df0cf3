"""Two-stage detectors whole in files: they find what mmdet finds, masks too."""

from copy import deepcopy

import numpy as np
import pytest
import small_detectors as small
import torch
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
from test_detector_export import Case, check_finds

from mmsparseswin.cli import evaluation
from mmsparseswin.errors import InputError
from mmsparseswin.export.exporting import export
from mmsparseswin.export.formats import Plan, write
from mmsparseswin.export.subjects import from_config
from mmsparseswin.runtime import load
from mmsparseswin.runtime.detections import paste_masks
from mmsparseswin.runtime.engines import open_engine


@pytest.fixture(scope='module')
def mask_rcnn(tmp_path_factory) -> Case:
    case = Case(tmp_path_factory.mktemp('mask_rcnn'), small.MASK_RCNN)
    case.export('model.onnx', order='bgr')
    return case


def check_masks(case: Case, file) -> None:
    """Pasted masks differ from mmdet's in single pixels at most, where a probability is the threshold."""
    (found,) = load(file).predict(case.pictures[1])
    wanted = small.found_by_mmdet(case.model, case.cfg, case.pictures[1])
    assert found.masks.shape == (len(wanted), *small.SIZES[1])
    areas = wanted.masks.numpy().sum((1, 2))
    assert areas.sum() > 500
    assert (found.masks != wanted.masks.numpy()).sum() <= 1e-3 * areas.sum()


def test_a_mask_rcnn_finds_what_mmdet_finds_on_padded_pictures_too(mask_rcnn):
    check_finds(mask_rcnn, mask_rcnn.root / 'model.onnx')
    check_masks(mask_rcnn, mask_rcnn.root / 'model.onnx')
    report = mask_rcnn.reports['model.onnx']
    assert [one['name'] for one in report['outputs']] == ['boxes', 'scores', 'labels', 'masks']
    assert report['outputs'][3]['shape'] == ['found', 28, 28]
    assert report['detector']['proposals'] == 60


@pytest.mark.parametrize(
    ('name', 'format'), [('model.onnx', 'onnx'), pytest.param('model.xml', 'openvino', marks=pytest.mark.slow)]
)
def test_a_cascade_that_is_told_of_padding_finds_what_mmdet_finds(name, format, tmp_path):
    case = Case(tmp_path, small.CASCADE)
    check_finds(case, case.export(name, format=format))
    assert case.reports[name]['padding'] == {'divisor': 32, 'value': 0.0, 'seen': False, 'left_out': True}
    check_masks(case, tmp_path / name)


@pytest.mark.slow
@pytest.mark.parametrize('agnostic', [True, False])
def test_a_faster_rcnn_in_openvino_with_nms_across_classes(agnostic, tmp_path):
    model = deepcopy(small.MASK_RCNN)
    model['type'] = 'FasterRCNN'
    del model['roi_head']['mask_roi_extractor'], model['roi_head']['mask_head']
    model['roi_head']['bbox_head']['reg_class_agnostic'] = agnostic
    model['test_cfg']['rcnn'] = dict(model['test_cfg']['rcnn'], nms=dict(small.NMS, class_agnostic=True))
    case = Case(tmp_path, model)
    check_finds(case, case.export('model.xml', format='openvino'))


def test_the_metrics_of_a_file_are_those_of_its_weights(mask_rcnn, tmp_path):
    found = [evaluation.evaluate(deepcopy(mask_rcnn.cfg), mask_rcnn.weights)[0]]
    drawn = evaluation.Pictures(str(tmp_path / 'drawn'))
    file = str(mask_rcnn.root / 'model.onnx')
    found.append(evaluation.evaluate(deepcopy(mask_rcnn.cfg), file, pictures=drawn)[0])
    assert len(list((tmp_path / 'drawn').iterdir())) == len(small.SIZES)
    assert found[0]['coco/bbox_mAP'] > 0.5
    for key in ('coco/bbox_mAP', 'coco/segm_mAP'):
        assert found[1][key] == pytest.approx(found[0][key], abs=2e-3)


@pytest.mark.parametrize('name', ['model.onnx', pytest.param('model.xml', marks=pytest.mark.slow)])
def test_a_picture_without_objects_has_empty_detections(name, mask_rcnn, tmp_path):
    """No layer of the mask head may fail where no detection is left."""
    cfg = deepcopy(mask_rcnn.cfg)
    cfg.model.test_cfg.rcnn.score_thr = 0.9999
    subject = from_config(cfg, 'config.py', mask_rcnn.weights)
    image, size = torch.zeros(1, 3, *small.SHAPE), torch.tensor(small.SHAPE)
    plan = Plan(subject.module, image, False, subject.outputs, (('size', size),), True)
    write('onnx' if name.endswith('onnx') else 'openvino', plan, tmp_path / name)
    found = open_engine(tmp_path / name).run(image.numpy(), size.numpy())
    assert [one.shape for one in found] == [(0, 4), (0,), (0,), (0, 28, 28)]


@pytest.mark.parametrize(
    ('change', 'line'),
    [
        ({'roi_head.bbox_roi_extractor.roi_layer.type': 'RoIPool'}, 'SingleRoIExtractor with RoIAlign is'),
        ({'roi_head.mask_head.type': 'HTCMaskHead'}, 'HTCMaskHead is not exported'),
        ({'test_cfg.rpn.nms.type': 'soft_nms'}, 'test_cfg.rpn.nms is'),
        ({'test_cfg.rcnn.mask_thr_binary': -1}, 'mask_thr_binary'),
    ],
)
def test_parts_that_are_not_known_are_refused_by_name(change, line, mask_rcnn):
    cfg = deepcopy(mask_rcnn.cfg)
    cfg.merge_from_dict({f'model.{key}': value for key, value in change.items()})
    if 'RoIPool' in str(change):
        del cfg.model.roi_head.bbox_roi_extractor.roi_layer.sampling_ratio
    with pytest.raises(InputError, match=line):
        from_config(cfg, 'config.py')


def test_two_stages_need_their_nms_inside(mask_rcnn, tmp_path):
    subject = from_config(deepcopy(mask_rcnn.cfg), 'config.py', mask_rcnn.weights)
    with pytest.raises(InputError, match='needs it inside'):
        export(subject, 'onnx', tmp_path / 'model.onnx', small.SHAPE, nms='outside')


def test_masks_are_pasted_as_mmdet_pastes_them():
    rng = np.random.default_rng(0)
    corners = rng.uniform(-3, 40, (12, 2))
    boxes = np.concatenate((corners, corners + rng.uniform(0.5, 30, (12, 2))), 1).clip(0, [60, 45] * 2)
    boxes[0, 2] = boxes[0, 0]  # without width
    boxes, masks = boxes.astype(np.float32), rng.uniform(0, 1, (12, 28, 28)).astype(np.float32)
    found = paste_masks(masks, boxes, (45, 60), 0.5)
    for mask, box, place in zip(masks, boxes, found, strict=True):
        wanted = np.zeros((45, 60), bool)
        pasted, region = _do_paste_mask(torch.from_numpy(mask)[None, None], torch.from_numpy(box)[None], 45, 60)
        wanted[region] = (pasted[0] >= 0.5).numpy()
        assert (wanted != place).sum() <= 1
    assert found.any((1, 2))[1:].all()
