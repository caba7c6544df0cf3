"""Conversions of results, against the records they are made of."""

import sys
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as run_lengths

from mmsparseswin.easy.results import Result, Results
from mmsparseswin.errors import InputError
from mmsparseswin.image_files import Job

MASK = np.zeros((30, 40), np.uint8)
MASK[5:9, 10:20] = 1


class Predictor:
    classes = ('cat', 'dog')

    def collect(self, records):
        return list(records)


def result(name: str = 'a.jpg', masks: bool = True, count: int = 2) -> Result:
    code = run_lengths.encode(np.asfortranarray(MASK))
    objects = [
        dict(category_id=2, score=0.75, bbox=[10.0, 5.0, 10.0, 4.0]),
        dict(category_id=1, score=0.5, bbox=[1.0, 2.0, 3.5, 4.0]),
    ][:count]
    if masks:
        for one in objects:
            one['segmentation'] = dict(size=code['size'], counts=code['counts'].decode())
    record = dict(file_name=name, width=40, height=30, objects=objects)
    return Result(Job(Path(name), Path(name)), record, Predictor())


def test_arrays():
    one = result()
    np.testing.assert_array_equal(one.boxes, [[10, 5, 20, 9], [1, 2, 4.5, 6]])
    assert one.labels.tolist() == [1, 0]
    assert one.scores.tolist() == [0.75, 0.5]
    assert (one.masks == MASK.astype(bool)).all()
    assert one.masks.shape == (2, 30, 40)
    assert result(masks=False).masks is None
    assert repr(one) == '<a.jpg: dog 0.75, cat 0.50>'
    empty = result(count=0)
    assert (len(empty), empty.boxes.shape, empty.masks) == (0, (0, 4), None)


def test_supervision():
    import supervision

    found = result().to_supervision()
    assert isinstance(found, supervision.Detections)
    np.testing.assert_array_equal(found.xyxy, [[10, 5, 20, 9], [1, 2, 4.5, 6]])
    assert found.class_id.tolist() == [1, 0]
    assert found['class_name'].tolist() == ['dog', 'cat']
    assert found.mask.sum() == 2 * MASK.sum()
    drawn = supervision.BoxAnnotator().annotate(np.zeros((30, 40, 3), np.uint8), found)
    assert drawn.any()
    assert len(result(count=0).to_supervision()) == 0
    label = Result(Job(Path('a'), Path('a')), {'label': 1, 'score': 0.5}, Predictor()).to_supervision()
    assert label.class_id.tolist() == [1]


def test_pandas():
    table = Results([result('a.jpg'), result('b.jpg', count=0), result('c.jpg', count=1)]).to_pandas()
    assert table.to_dict('list') == {
        'image': ['a.jpg', 'a.jpg', 'c.jpg'],
        'class': ['dog', 'cat', 'dog'],
        'label': [1, 0, 1],
        'score': [0.75, 0.5, 0.75],
        'x1': [10, 1, 10],
        'y1': [5, 2, 5],
        'x2': [20, 4.5, 20],
        'y2': [9, 6, 9],
    }
    assert list(result(count=0).to_pandas().columns) == list(table.columns)
    assert len(Results().to_pandas()) == 0


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, 'supervision', None)
    with pytest.raises(InputError, match='needs the package supervision: pip install supervision'):
        result().to_supervision()
