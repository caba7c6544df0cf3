import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from mmsparseswin import cli
from mmsparseswin.errors import InputError
from mmsparseswin.shapes import dataset as shapes
from mmsparseswin.shapes.contact_sheet import contact_sheet, save_sheet
from mmsparseswin.shapes.dataset import CLASSES, draw_dataset

# pycocotools predates numpy 2's __array__(copy=...).
pytestmark = pytest.mark.filterwarnings('ignore:__array__ implementation:DeprecationWarning')
TOOL = Path(__file__).parents[2] / 'tools' / 'dataset_tools' / 'draw_shapes.py'
SMALL = {'images': (3, 2), 'size': 45, 'seed': 1}


@pytest.fixture(scope='module')
def drawn(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('shapes') / 'set'
    assert draw_dataset(root, images=(150, 5), size=95, seed=3)
    return root


@pytest.fixture(scope='module')
def coco(drawn) -> COCO:
    return COCO(drawn / 'annotations' / 'instances_train.json')


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob('*') if path.is_file()}


def objects_by_picture(coco: COCO):
    for image in coco.imgs.values():
        yield image, [(item, coco.annToMask(item).astype(bool)) for item in coco.imgToAnns[image['id']]]


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path):
    for name, seed in (('a', 1), ('b', 1), ('c', 2)):
        draw_dataset(tmp_path / name, **{**SMALL, 'seed': seed})
    a, b, c = (contents(tmp_path / name) for name in 'abc')
    assert a == b
    assert len(a) == 3 + 2 + 2 + 1
    assert all(a[name] != c[name] for name in a)


def test_a_larger_set_starts_with_the_smaller_one(tmp_path):
    for name, images in (('small', (2, 3)), ('large', (5, 4))):
        draw_dataset(tmp_path / name, images=images, size=45, seed=1)
    small, large = contents(tmp_path / 'small'), contents(tmp_path / 'large')
    assert all(large[name] == small[name] for name in small if name.endswith('.jpg'))
    for split in ('train', 'val'):
        few, many = (json.loads(c[f'annotations/instances_{split}.json'])['annotations'] for c in (small, large))
        assert many[: len(few)] == few


def test_no_validation_picture_is_a_training_picture(drawn):
    train, val = ({path.read_bytes() for path in (drawn / split).iterdir()} for split in ('train', 'val'))
    assert (len(train), len(val)) == (150, 5)
    assert not train & val


def test_fields_agree_with_the_decoded_masks_and_the_files(drawn, coco):
    assert [cat['name'] for cat in coco.loadCats(sorted(coco.cats))] == list(CLASSES)
    assert len(coco.imgs) == 150
    assert len(coco.anns) == len(coco.dataset['annotations'])  # ids are unique
    assert min(coco.anns) == 1
    for image, objects in objects_by_picture(coco):
        assert Image.open(drawn / 'train' / image['file_name']).size == (image['width'], image['height'])
        assert max(image['width'], image['height']) == 95
        for item, mask in objects:
            assert mask.shape == (image['height'], image['width'])
            rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
            box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
            assert item['bbox'] == box
            assert item['area'] == mask.sum() >= 16
            assert item['category_id'] in coco.cats


def test_pictures_are_square_wide_and_high(coco):
    assert {(image['height'], image['width']) for image in coco.imgs.values()} == {(95, 95), (71, 95), (95, 71)}


def test_visible_masks_never_overlap(coco):
    for _, objects in objects_by_picture(coco):
        if objects:
            assert np.sum([mask for _, mask in objects], axis=0).max() == 1


def test_some_pictures_are_empty_and_some_hold_a_crowd(coco):
    crowds = [item for item in coco.anns.values() if item['iscrowd']]
    empty = [i for i in coco.imgs if not coco.imgToAnns[i]]
    assert 1 <= len(crowds) <= 0.15 * len(coco.imgs)
    assert 1 <= len(empty) <= 0.15 * len(coco.imgs)
    pieces = [cv2.connectedComponents(coco.annToMask(item))[0] - 1 for item in crowds]
    assert np.median(pieces) >= 4


def test_sizes_range_from_small_to_half_of_the_picture(coco):
    sides = np.array([max(item['bbox'][2:]) for item in coco.anns.values() if not item['iscrowd']]) / 95
    assert 3 <= len(sides) / len(coco.imgs) <= 5
    assert sides.min() < 0.12
    assert sides.max() > 0.5
    assert 0.22 < np.median(sides) < 0.35


def lone_masks(coco: COCO, name: str):
    """Return masks of one class that neither the border nor another object cuts."""
    for image, objects in objects_by_picture(coco):
        for item, mask in objects:
            x, y, w, h = map(int, item['bbox'])
            inside = x > 0 and y > 0 and x + w < image['width'] and y + h < image['height']
            alone = all(other is item or not m[y : y + h, x : x + w].any() for other, m in objects)
            if inside and alone and not item['iscrowd'] and coco.cats[item['category_id']]['name'] == name:
                yield mask.astype(np.uint8)


# Area over that of the tightest rectangle, by geometry; a stretch leaves it unchanged or nearly so.
@pytest.mark.parametrize(
    ('name', 'lowest', 'highest'),
    [
        ('disk', np.pi / 4, np.pi / 4),
        ('ring', np.pi / 4 * (1 - 0.65**2), np.pi / 4 * (1 - 0.45**2)),
        ('square', 1, 1),
        ('triangle', 1 / 2, 1 / 2),
        ('star', 0.34, 0.43),
        ('crescent', 0.35, 0.62),
    ],
)
def test_each_class_has_its_silhouette(coco, name, lowest, highest):
    fills, holes = [], []
    for mask in lone_masks(coco, name):
        # Four times as large, so that the rectangle through pixel centres is as good as one around the pixels.
        large = cv2.resize(mask, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
        _, (w, h), _ = cv2.minAreaRect(np.argwhere(large)[:, ::-1].astype(np.float32))
        fills.append(large.sum() / (w + 1) / (h + 1))
        holes.append(cv2.connectedComponents(1 - mask, connectivity=4)[0] - 2)  # label 0 is the mask
    assert len(fills) >= 5
    assert lowest - 0.1 < np.median(fills) < highest + 0.05
    assert np.median(holes) == (name == 'ring')


@pytest.mark.parametrize('against', ['ground', 'object'])
def test_masks_end_where_the_picture_shows_an_edge(drawn, coco, against):
    at_edges, elsewhere = [], []
    for image, objects in objects_by_picture(coco):
        label = np.zeros((image['height'], image['width']), int)
        for index, (_, mask) in enumerate(objects, start=1):
            label[mask] = index
        left, right = label[:, :-1], label[:, 1:]
        both = (left > 0) & (right > 0)
        edge = (left != right) & (both if against == 'object' else ~both)
        pixels = np.asarray(Image.open(drawn / 'train' / image['file_name']), np.float32)
        step = np.abs(np.diff(pixels, axis=1)).sum(-1)
        at_edges.append(step[edge])
        elsewhere.append(step[left == right])
    assert np.concatenate(at_edges).mean() > 1.5 * np.concatenate(elsewhere).mean()


def test_a_second_run_touches_nothing(tmp_path):
    assert draw_dataset(tmp_path / 'set', **SMALL)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*')}
    assert not draw_dataset(tmp_path / 'set', **SMALL)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*')} == times


@pytest.mark.parametrize('change', [{'images': (2, 2)}, {'size': 40}, {'seed': 2}])
def test_other_settings_redraw_and_leave_nothing_stale(tmp_path, change):
    draw_dataset(tmp_path / 'set', **SMALL)
    assert draw_dataset(tmp_path / 'set', **{**SMALL, **change})
    draw_dataset(tmp_path / 'fresh', **{**SMALL, **change})
    assert contents(tmp_path / 'set') == contents(tmp_path / 'fresh')


@pytest.mark.parametrize('lost', ['train/000002.jpg', 'annotations/instances_val.json'])
def test_a_set_that_lost_a_file_is_redrawn(tmp_path, lost):
    draw_dataset(tmp_path, **SMALL)
    whole = contents(tmp_path)
    (tmp_path / lost).unlink()
    assert draw_dataset(tmp_path, **SMALL)
    assert contents(tmp_path) == whole


@pytest.mark.parametrize('stopped_at', ['train', 'val'])
def test_an_interrupted_redraw_is_not_taken_for_a_whole_set(tmp_path, monkeypatch, stopped_at):
    draw_split = shapes._draw_split

    def interrupted(root, split, *settings):
        if split == stopped_at:
            raise KeyboardInterrupt
        draw_split(root, split, *settings)

    draw_dataset(tmp_path / 'set', **{**SMALL, 'seed': 2})
    with monkeypatch.context() as patch:
        patch.setattr(shapes, '_draw_split', interrupted)
        with pytest.raises(KeyboardInterrupt):
            draw_dataset(tmp_path / 'set', **SMALL)
    assert draw_dataset(tmp_path / 'set', **SMALL)
    draw_dataset(tmp_path / 'fresh', **SMALL)
    assert contents(tmp_path / 'set') == contents(tmp_path / 'fresh')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'images': (0, 2)}, 'at least 1'),
        ({'images': (3,)}, 'two counts'),
        ({'size': 31}, '32 pixels or more'),
        ({'seed': -1}, 'negative'),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        draw_dataset(tmp_path / 'set', **{**SMALL, **change})
    assert not (tmp_path / 'set').exists()


def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / 'train').mkdir()
    (tmp_path / 'train' / 'mine.jpg').write_bytes(b'precious')
    with pytest.raises(InputError, match='other files'):
        draw_dataset(tmp_path, **SMALL)
    assert contents(tmp_path) == {'train/mine.jpg': b'precious'}


def test_a_root_that_is_a_file_is_refused(tmp_path):
    (tmp_path / 'set').write_text('')
    with pytest.raises(InputError, match='Cannot write'):
        draw_dataset(tmp_path / 'set', **SMALL)


def test_the_sheet_shows_the_annotations(drawn, tmp_path):
    sheet = np.asarray(contact_sheet(drawn, 'train', columns=3, rows=2))
    assert sheet.shape == (190, 285, 3)
    first = np.asarray(Image.open(drawn / 'train' / '000001.jpg'))
    tile = sheet[: first.shape[0], : first.shape[1]]
    objects = json.loads((drawn / 'annotations' / 'instances_train.json').read_text())['annotations']
    x, y, w, h = (int(v) for v in next(item for item in objects if item['image_id'] == 1)['bbox'])
    assert (tile[y + 1 : y + h - 1, x + 1 : x + w - 1] != first[y + 1 : y + h - 1, x + 1 : x + w - 1]).any()
    with pytest.raises(InputError, match=r'\.png or \.jpg'):
        save_sheet(drawn, tmp_path / 'sheet.unknown')


def test_the_command_draws_then_reuses_and_reports_errors_in_one_line(tmp_path, monkeypatch, capsys):
    main = runpy.run_path(str(TOOL))['main']
    monkeypatch.setattr('os._exit', sys.exit)

    def run(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, 'argv', ['draw_shapes.py', str(tmp_path / 'set'), *args])
        status = 0
        try:
            cli.run_tool(main)
        except SystemExit as end:
            status = end.code
        return (status, *capsys.readouterr())

    settings = ('--images', '3', '2', '--size', '45', '--seed', '1')
    sheet = tmp_path / 'sheet.png'
    assert run(*settings) == (0, f'{tmp_path / "set"}: 3 + 2 pictures drawn\n', '')
    assert run(*settings, '--sheet', str(sheet)) == (0, f'{tmp_path / "set"}: 3 + 2 pictures re-used\n', '')
    assert Image.open(sheet).width == 6 * 45
    status, out, err = run('--size', '7')
    assert (status, out) == (2, '')
    assert err.startswith('error: size 7')
    assert err.count('\n') == 1
