"""Test annotation files as exporters write them: the right score, or one line that names the fault."""

import copy
import json
from pathlib import Path

import coco_fuzzer
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger
from PIL import Image
from pycocotools import mask as pycoco

from mmsparseswin.detection.data_check import check as file_check
from mmsparseswin.detection.data_check.datasets import check_config, inspect_config
from mmsparseswin.detection.data_check.masks import _runs
from mmsparseswin.detection.metrics import restore_ids
from mmsparseswin.errors import InputError


@pytest.fixture(scope='module')
def judge(tmp_path_factory):
    logger = MMLogger.get_current_instance()
    level = logger.level
    yield coco_fuzzer.Judge(tmp_path_factory.mktemp('coco'))
    logger.setLevel(level)


def outcome(judge, change, seed: int = 0) -> coco_fuzzer.Outcome:
    content = copy.deepcopy(judge.sound)
    change(content)
    return judge.judge(json.dumps(content).encode(), seed)


def for_all(section: str, **new):
    """Return a change of all records: field -> function of the record."""

    def change(content):
        for record in content[section]:
            for name, value in new.items():
                record[name] = value(record)

    return change


def renumber(section: str, field: str, new):
    def change(content):
        for record in content[section]:
            record['id'] = new(record['id'])
        for ann in content['annotations']:
            ann[field] = new(ann[field])

    return change


REPAIRED = {
    'annotation ids from 0': (for_all('annotations', id=lambda a: a['id'] - 100), 'all are numbered 1 to 15'),
    'annotation ids that are texts': (
        for_all('annotations', id=lambda a: f'ann-{a["id"]}'),
        'all are numbered 1 to 15',
    ),
    'annotation ids of merged files': (for_all('annotations', id=lambda a: a['image_id']), 'given more than once'),
    'image ids that are texts': (renumber('images', 'image_id', 'photo_{:04d}'.format), 'numbered 1 to 6'),
    'image ids of nineteen digits': (renumber('images', 'image_id', lambda i: i + 10**18), 'numbered 1 to 6'),
    'image ids that are fractions': (renumber('images', 'image_id', float), 'numbers they mean'),
    'category ids that are texts': (renumber('categories', 'category_id', 'c{}'.format), 'numbered 1 to 3'),
    'categories in another order': (lambda c: c['categories'].reverse(), 'labels follow the names'),
    'an empty root category': (lambda c: c['categories'].insert(0, dict(id=0, name='disk')), 'no objects: left out'),
    'names with a blank': (lambda c: c['categories'][1].update(name='ring '), "read as 'ring'"),
    'areas of 0': (for_all('annotations', area=lambda a: 0), 'computed anew'),
    'no iscrowd': (lambda c: [a.pop('iscrowd') for a in c['annotations'][:5]], '0 where it is missing'),
    'a polygon that is not in a list': (
        lambda c: c['annotations'][0].update(segmentation=c['annotations'][0]['segmentation'][0]),
        'are read as COCO writes them',
    ),
    'a part of two points': (
        lambda c: c['annotations'][0]['segmentation'].append([1, 2, 3, 4]),
        'fewer than three points',
    ),
    'sizes with a fraction': (for_all('images', width=lambda i: float(i['width'])), 'with a fraction'),
}


@pytest.mark.parametrize('seed', [0, 1])
@pytest.mark.parametrize('name', REPAIRED)
def test_what_is_certain_is_repaired_and_said(judge, name, seed):
    change, words = REPAIRED[name]
    found = outcome(judge, change, seed)
    assert found.kind == 'same', found
    assert words in found.detail


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'utf-16-be', 'utf-32'])
def test_files_of_windows_programs_are_read(judge, encoding):
    found = judge.judge(json.dumps(judge.sound).encode(encoding))
    assert found.kind == 'same'
    assert 'read as such' in found.detail


def first(**fields):
    return lambda content: content['annotations'][0].update(fields)


def swapped_rle(content):
    ann = content['annotations'][1]
    ann['segmentation']['size'].reverse()


REFUSED = {
    'bbox null': (first(bbox=None), 'entry 100: bbox: expected `array`, got `null`'),
    'bbox of nulls': (first(bbox=[None] * 4), 'entry 100: bbox[0]: expected `float`, got `null`'),
    'bbox of texts': (first(bbox=['5', '7', '9', '9']), 'expected `float`, got `str`'),
    'width null': (lambda c: c['images'][0].update(width=None), 'images entry 10: width'),
    'width a text': (lambda c: c['images'][0].update(width='96'), 'images entry 10: width'),
    'area null': (first(area=None), 'entry 100: area'),
    'area NaN': (first(area=float('nan')), 'areas of annotations 100'),
    'negative width': (first(bbox=[50, 50, -20, 20]), 'negative width or height; a box is [x, y, width, height]'),
    'box of infinity': (first(bbox=[5, 5, float('inf'), 5]), 'NaN or numbers beyond 1e7'),
    'box outside': (first(bbox=[500, 5, 20, 20]), 'boxes of annotations 100 lie outside their picture'),
    'no segmentation': (lambda c: [a.pop('segmentation') for a in c['annotations']], 'with_mask=False'),
    'one empty list': (first(segmentation=[]), 'annotations 100 have no segmentation'),
    'two points': (first(segmentation=[[5, 5, 20, 20]]), 'fewer than three points'),
    'odd numbers': (first(segmentation=[[5, 5, 20, 20, 5, 20, 7]]), 'an odd count'),
    'a huge number': (first(segmentation=[[5, 5, 1e9, 20, 5, 20]]), 'far beyond the picture'),
    'NaN in a polygon': (first(segmentation=[[5, 5, float('nan'), 20, 5, 20]]), 'not finite'),
    'an RLE turned round': (swapped_rle, 'an RLE of size [96, 80] on a picture of [height, width] [80, 96]'),
    'an RLE cut off': (
        lambda c: c['annotations'][1]['segmentation'].update(counts=c['annotations'][1]['segmentation']['counts'][:-2]),
        'counts are damaged',
    ),
    'two categories of a name': (
        lambda c: (c['categories'].append(dict(id=9, name='disk')), c['annotations'][0].update(category_id=9)),
        "the categories 1, 9 are all named 'disk'",
    ),
    'all crowds': (for_all('annotations', iscrowd=lambda a: 1), 'has no object to learn: of 15 objects'),
    'flag 2': (first(iscrowd=2), 'iscrowd of annotations 100 (2) is neither 0 nor 1'),
    'sizes exchanged': (
        for_all('images', width=lambda i: i['height'], height=lambda i: i['width']),
        '',
    ),
    'another size': (lambda c: c['images'][5].update(width=1000), 'is 200 x 150 pixels'),
    'no file name': (lambda c: c['images'][0].update(file_name='a\0b'), 'no file_name that a file can have'),
    'a lost reference': (first(image_id=77), 'are for images it does not list'),
}


@pytest.mark.parametrize('name', REFUSED)
def test_what_is_not_certain_is_refused_in_one_line(judge, name):
    change, words = REFUSED[name]
    found = outcome(judge, change)
    assert found.kind == 'refused', found
    assert words in found.detail


@pytest.mark.parametrize(
    'data', [b'', b'[' * 100_000, b'[]', b'{}', b'{"images": 1}', b'\xff\xfe\x00', b'{"a": "\xe9"}']
)
def test_files_that_are_no_coco_files(judge, data):
    assert judge.judge(data).kind == 'refused'


def test_odd_boxes_and_copies_are_said(judge):
    for change, words in (
        (first(bbox=[3, 3, 0, 0]), 'narrower than one pixel'),
        (lambda c: c['annotations'].append({**c['annotations'][0], 'id': 7}), 'repeat the box and class'),
        (first(category_id=1, bbox=[0, 0, 60, 60]), 'not the extents of their masks'),
    ):
        assert words in outcome(judge, change).detail


def test_compressed_runs_are_those_of_pycocotools():
    rng = np.random.default_rng(0)
    for density in (0.02, 0.5, 0.98):
        mask = np.asfortranarray(rng.random((37, 53)) < density, dtype=np.uint8)
        edges = [0, *(np.flatnonzero(np.diff(mask.ravel(order='F'), prepend=0))), mask.size]
        np.testing.assert_array_equal(_runs(pycoco.encode(mask)['counts'].decode()), np.diff(edges))


@pytest.fixture
def small(tmp_path):
    """Write one picture of 28 x 20 with one object, and a config for it."""
    Image.new('RGB', (28, 20)).save(tmp_path / 'a.png')
    ann = dict(id=1, image_id=1, category_id=1, bbox=[4, 4, 12, 12], area=144, iscrowd=0)
    content = dict(
        images=[dict(id=1, file_name='a.png', width=28, height=20)],
        annotations=[ann],
        categories=[dict(id=1, name='disk')],
    )
    (tmp_path / 'a.json').write_text(json.dumps(content))
    dataset = dict(type='CocoDataset', data_root=str(tmp_path), ann_file='a.json', metainfo=dict(classes=('disk',)))
    return tmp_path, content, dataset


def check(dataset, **options):
    return check_config(Config(dict(default_scope='mmdet', train_dataloader=dict(dataset=dataset))), **options)


def test_a_filter_that_leaves_nothing_says_why(small):
    _, _, dataset = small
    check(dict(dataset, filter_cfg=dict(filter_empty_gt=True, min_size=20)))
    with pytest.raises(InputError, match=r'filter_cfg leaves none of the 1 images .*: 1 are smaller than min_size=32'):
        check(dict(dataset, filter_cfg=dict(filter_empty_gt=True, min_size=32)))


@pytest.mark.parametrize('text', [b'disk', b'disk\n', b'disk\r\n', b'\xef\xbb\xbfdisk\n'])
def test_classes_come_from_a_file(small, text):
    root, _, dataset = small
    (root / 'classes.txt').write_bytes(text)
    (one,) = check(dict(dataset, metainfo=dict(classes=str(root / 'classes.txt'))))
    assert one.classes == ('disk',)


def test_turned_and_deep_pictures_are_said(small):
    root, _, dataset = small
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (20, 28)).save(root / 'a.png', exif=exif)
    (one,) = check(dataset)
    assert any('turned by their EXIF data' in note for note in one.notes)
    Image.fromarray(np.zeros((20, 28), np.uint16)).save(root / 'a.png')
    (one,) = check(dataset)
    assert any('16 bits' in note for note in one.notes)
    Image.new('RGB', (14, 10)).save(root / 'a.png')
    with pytest.raises(InputError, match=r'a\.png is 14 x 10 pixels, but .*a\.json says 28 x 20'):
        check(dataset)


def test_masks_that_nobody_uses_are_not_refused(small):
    root, content, dataset = small
    content['annotations'][0]['segmentation'] = [[1, 2, 1e9, 4, 5, 6]]
    (root / 'a.json').write_text(json.dumps(content))
    (one,) = check(dataset)
    assert any('which this config does not use' in note for note in one.notes)
    with pytest.raises(InputError, match='far beyond the picture'):
        check(dict(dataset, pipeline=[dict(type='LoadAnnotations', with_mask=True)]))


def test_a_clean_file_is_checked_once(small, monkeypatch):
    _, _, dataset = small
    (first_time,) = check(dataset)
    monkeypatch.setattr('mmsparseswin.detection.data_check.check._SEEN', {})
    monkeypatch.setattr('mmsparseswin.detection.data_check.check.decode', None)
    (again,) = check(dataset)
    assert again.verdict == first_time.verdict


def test_all_errors_are_kept_and_the_first_is_raised(small):
    root, content, dataset = small
    content['annotations'][0].update(area=-1, iscrowd=3)
    (root / 'a.json').write_text(json.dumps(content))
    cfg = Config(dict(default_scope='mmdet', train_dataloader=dict(dataset=dataset)))
    (one,) = inspect_config(cfg)
    assert any('iscrowd' in error for error in one.errors)


def test_predictions_get_their_ids_back(tmp_path):
    path = tmp_path / 'p.bbox.json'
    path.write_text(json.dumps([dict(image_id=2, category_id=1, score=0.5)]))
    restore_ids(path, dict(image_id={2: 'photo'}, category_id={}))
    assert json.loads(path.read_text()) == [dict(image_id='photo', category_id=1, score=0.5)]
    restore_ids(tmp_path / 'none.json', {})


def test_a_repaired_file_is_repaired_once_while_its_copy_is_there(judge, tmp_path, monkeypatch):
    file, content = tmp_path / 'ann.json', copy.deepcopy(judge.sound)
    classes = tuple(category['name'] for category in content['categories'])
    for number, annotation in enumerate(content['annotations']):
        annotation['id'] = number  # from 0
    file.write_text(json.dumps(content))
    judged, original = [], file_check._judge
    monkeypatch.setattr(file_check, '_judge', lambda *args: judged.append(1) or original(*args))

    def run(folder):
        file_check._SEEN.clear()  # as in another process
        verdict = file_check.check_file(str(file), 'option', classes, False, repair_dir=str(folder))
        return verdict, Path(file_check.repaired_path(verdict, str(folder)))

    first, repaired = run(tmp_path / 'a')
    assert first.rewrite
    assert repaired.is_file()
    assert run(tmp_path / 'a') == (first, repaired)
    assert len(judged) == 1
    assert run(tmp_path / 'b')[1].read_text() == repaired.read_text()
    repaired.unlink()
    run(tmp_path / 'a')
    assert repaired.is_file()
    assert len(judged) == 3


def test_a_file_without_annotations_is_refused_after_it_passed_for_a_test_set(judge, tmp_path):
    file, content = tmp_path / 'ann.json', copy.deepcopy(judge.sound)
    classes = tuple(category['name'] for category in content['categories'])
    del content['annotations']
    file.write_text(json.dumps(content))
    assert not file_check.check_file(str(file), 'option', classes, False, ('images', 'categories')).errors
    with pytest.raises(InputError, match="has no list 'annotations'"):
        file_check.check_file(str(file), 'option', classes, False)
