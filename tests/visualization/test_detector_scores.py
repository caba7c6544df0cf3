"""Test the scores of the page of mistakes on a hand-made set with one error of each kind, and against pycocotools."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmsparseswin.errors import InputError
from mmsparseswin.visualization.detector_mistakes import write_detector_report
from mmsparseswin.visualization.detector_scores import DetectorScores, read_predictions, read_truth

pytest.importorskip('hotcoco')
NAMES = ('cat', 'dog')
# One object of the right class found, one found twice, and one of each other kind; x says which.
BOXES = {'right': 0, 'twice': 100, 'misplaced': 200, 'class': 300, 'missed': 400}


@pytest.fixture
def files(tmp_path):
    annotations = [
        dict(id=index, image_id=7, category_id=30, bbox=[x, 10, 40, 40], area=1600, iscrowd=0)
        for index, x in enumerate(BOXES.values(), 50)
    ]
    annotations.append(dict(id=90, image_id=8, category_id=20, bbox=[10, 10, 40, 40], area=1600, iscrowd=0))
    annotations.append(dict(id=91, image_id=8, category_id=99, bbox=[10, 10, 40, 40], area=1600, iscrowd=0))
    truth = dict(
        images=[dict(id=image, file_name=f'{image}.jpg', width=640, height=100) for image in (7, 8)],
        annotations=annotations,
        categories=[dict(id=20, name='dog'), dict(id=30, name='cat'), dict(id=99, name='no class')],
    )
    found = [(7, 30, 0, 0.9), (7, 30, 100, 0.8), (7, 30, 102, 0.7), (7, 30, 220, 0.6), (7, 20, 300, 0.95)]
    found += [(7, 30, 500, 0.4), (8, 20, 10, 0.85), (8, 20, 300, 0.1)]
    records = [
        dict(image_id=image, category_id=category, bbox=[x, 10, 40, 40], score=score)
        for image, category, x, score in found
    ]
    (tmp_path / 'truth.json').write_text(json.dumps(truth))
    (tmp_path / 'found.json').write_text(json.dumps(records))
    return tmp_path


@pytest.fixture
def scores(files):
    truth = read_truth(str(files / 'truth.json'), NAMES)
    return DetectorScores(truth, read_predictions(str(files / 'found.json'), truth), NAMES, 0.3)


def test_one_error_of_each_kind_is_counted(scores):
    counts = scores.full.tide_errors(pos_thr=0.5, bg_thr=0.1)['counts']
    # The object named 'class' is met by a box of the wrong class, the one named 'missed' by none.
    assert counts == {'Cls': 1, 'Loc': 1, 'Both': 0, 'Dupe': 1, 'Bkg': 2, 'Miss': 1}


def test_classes_are_counted_from_the_threshold_on(scores):
    cat, dog = scores.per_class()
    assert cat[0] == 'cat'
    assert cat[3:] == (5, 2, 3, 3)  # objects, found, missed, false
    assert dog[3:] == (1, 1, 0, 1)  # the prediction below the threshold is not false
    assert scores.confusion().tolist() == [[2, 1, 2], [0, 1, 0], [3, 0, 0]]
    assert [image for image, _ in scores.worst(5)] == [7]
    doubt = scores.diagnostics['label_errors'][0]
    assert (doubt['type'], doubt['dt_category']) == ('wrong_label', 'dog')


def test_average_precision_is_that_of_pycocotools(files, scores):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(files / 'truth.json'))
        evaluation = COCOeval(truth, truth.loadRes(str(files / 'found.json')), 'bbox')
        evaluation.params.catIds = [20, 30]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    ours = scores.average_precision()
    np.testing.assert_allclose([ours['AP'], ours['AP50'], ours['AP75']], evaluation.stats[:3])
    assert np.isnan(ours['AP large'])


def test_predictions_of_other_pictures_or_of_another_layout_are_refused(files):
    truth = read_truth(str(files / 'truth.json'), NAMES)
    (files / 'other.json').write_text('[{"image_id": 99, "category_id": 20, "bbox": [0, 0, 1, 1], "score": 1}]')
    with pytest.raises(InputError, match='image 99, which is not in the test data'):
        read_predictions(str(files / 'other.json'), truth)
    (files / 'no.json').write_text('[1]')
    with pytest.raises(InputError, match='no predictions in COCO layout'):
        read_predictions(str(files / 'no.json'), truth)


def test_original_ids_of_repaired_files_are_followed(files):
    content = json.loads((files / 'truth.json').read_text())
    for index, image in enumerate(content['images'], 1):
        image.update(original_id=image['id'], id=index)
    for one in content['annotations']:
        one['image_id'] -= 6
    (files / 'repaired.json').write_text(json.dumps(content))
    truth = read_truth(str(files / 'repaired.json'), NAMES)
    assert {one['image_id'] for one in read_predictions(str(files / 'found.json'), truth)} == {1, 2}


@pytest.mark.parametrize('empty', [False, True])
def test_the_page_is_one_file_and_an_empty_one_works(scores, files, empty):
    if empty:
        scores = DetectorScores(scores.truth, [], NAMES, 0.3)
    write_detector_report(scores, str(files), 3, files / 'report.html', '<i>')
    page = (files / 'report.html').read_text()
    assert '&lt;i&gt;' in page
    assert page.count('<section') == 7
    assert not any(f'{key}="http' in page for key in ('src', 'href'))
    if not empty:
        assert '7.jpg: 2 found, 3 missed, 4 false' in page
        assert '7.jpg: labelled cat, predicted dog (0.95), overlap 1.00' in page
