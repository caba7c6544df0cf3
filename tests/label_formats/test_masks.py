"""Mask pictures: both layouts, run lengths, and every fault with its file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as run_lengths

from mmsparseswin.errors import InputError
from mmsparseswin.label_formats.masks import read_masks
from mmsparseswin.label_formats.problems import Problems


def draw(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def picture(size=(30, 40)) -> np.ndarray:
    return np.zeros((*size, 4), np.uint8)


def blob(size=(30, 40), value=255) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[3:9, 5:12] = value
    mask[20, 30] = value
    return mask


def read(root: Path, **options):
    problems = Problems()
    return read_masks(root, problems, **options), problems.lines


@pytest.mark.parametrize('layout', ['{0}/{1}', '{1}/{0}'])
def test_both_layouts(tmp_path, layout):
    images, masks = layout.format('a', 'images'), layout.format('a', 'masks')
    images = 'images' if images == 'images/a' else images
    draw(tmp_path / images / 'a.png', picture())
    draw(tmp_path / masks / '1.png', blob())
    draw(tmp_path / masks / '2.png', blob(value=1)[:, ::-1].astype(bool))
    data, faults = read(tmp_path, name='nucleus')
    assert (faults, data.notes, data.classes) == ([], [], ('nucleus',))
    (one,) = data.splits['train']
    assert (one.path, one.size) == (tmp_path / images / 'a.png', (40, 30))
    first, second = one.instances
    assert (first.box, first.area) == ((5, 3, 26, 18), 43)
    assert second.box == (9, 3, 26, 18)
    assert (run_lengths.decode(first.segmentation) == blob() // 255).all()


def test_pictures_without_masks_have_no_objects(tmp_path):
    draw(tmp_path / 'images' / 'a.png', picture())
    draw(tmp_path / 'images' / 'b.png', picture())
    draw(tmp_path / 'masks' / 'a' / '1.png', blob())
    data, _ = read(tmp_path)
    assert [len(one.instances) for one in data.splits['train']] == [1, 0]
    assert data.notes == [f'1 pictures have no mask, hence no objects: {tmp_path / "images" / "b.png"}']


def test_every_fault_has_its_file(tmp_path):
    draw(tmp_path / 'a/images/a.png', picture())
    empty = draw(tmp_path / 'a/masks/empty.png', blob(value=0))
    full = draw(tmp_path / 'a/masks/map.png', blob() + blob(value=7)[::-1])
    size = draw(tmp_path / 'a/masks/size.png', blob((40, 40)))
    turned = draw(tmp_path / 'a/masks/turned.png', blob((40, 30 + 2)))
    text = tmp_path / 'a/masks/text.png'
    text.write_text('no picture')
    draw(tmp_path / 'a/masks/good.png', blob())
    for name in '12':
        draw(tmp_path / f'b/images/{name}.png', picture())
    (tmp_path / 'b/masks').mkdir()
    data, faults = read(tmp_path)
    found = dict(fault.split(': ', 1) for fault in faults)
    assert found.pop(str(empty)) == 'the mask is empty'
    assert found.pop(str(full)).startswith('the mask has the values 0, 7, 255; one object is drawn with one value')
    assert found.pop(str(size)) == f'the mask is 40 x 40 pixels, its picture {tmp_path}/a/images/a.png 40 x 30'
    assert found.pop(str(turned)).startswith('the mask is 32 x 40 pixels')
    assert found.pop(str(text)).startswith('cannot be read as a picture')
    assert found.pop(f'{tmp_path}/b/images') == '2 pictures beside one folder of masks, in place of one'
    assert found == {}
    assert [len(one.instances) for one in data.splits['train']] == [1]


def test_masks_without_a_picture_and_other_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match='holds no PICTURE/images'):
        read(tmp_path)
    draw(tmp_path / 'images' / 'a.png', picture())
    (tmp_path / 'masks').mkdir()
    with pytest.raises(InputError, match='has no folder PICTURE/'):
        read(tmp_path)
    draw(tmp_path / 'masks' / 'z' / '1.png', blob())
    assert read(tmp_path)[1] == [f'{tmp_path}/masks/z: masks of a picture that {tmp_path}/images lacks']
