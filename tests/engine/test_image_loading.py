import io

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile as Mmcv
from mmdet.registry import TRANSFORMS
from PIL import Image

from mmsparseswin.engine.image_loading import LoadImageFromFile
from mmsparseswin.errors import InputError
from mmsparseswin.image_headers import find_damage, read_header


def encode(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (37, 53, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.filterwarnings('ignore:Truncated File Read')  # Pillow, of the TIFF
@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF'])
def test_whole_files_pass_and_cut_ones_do_not(kind):
    data = encode(kind)
    assert find_damage(data) is None
    for kept in (0.02, 0.5, 0.98):
        assert find_damage(data[: int(len(data) * kept)])
    assert find_damage(b'') == 'the file is empty'
    assert find_damage(b'<html>')


def test_zeros_behind_the_end_mark_are_no_damage():
    assert find_damage(encode('JPEG') + bytes(300)) is None


@pytest.mark.parametrize(
    'options', [{}, {'to_float32': True}, {'color_type': 'grayscale'}, {'imdecode_backend': 'pillow'}]
)
def test_a_good_image_is_what_mmcv_loads(tmp_path, options):
    path = tmp_path / 'a.png'
    path.write_bytes(encode('PNG'))
    ours = LoadImageFromFile(**options)(dict(img_path=str(path)))
    theirs = Mmcv(**options)(dict(img_path=str(path)))
    assert ours.keys() == theirs.keys()
    assert ours['img'].dtype == theirs['img'].dtype
    np.testing.assert_array_equal(ours['img'], theirs['img'])
    assert ours['ori_shape'] == theirs['ori_shape'] == (37, 53)


def test_a_cut_image_is_named_or_skipped(tmp_path):
    path = tmp_path / 'a.jpg'
    path.write_bytes(encode('JPEG')[:-200])
    with pytest.raises(InputError, match=r'a\.jpg is corrupt'):
        LoadImageFromFile()(dict(img_path=str(path)))
    skipping = TRANSFORMS.build(dict(type='mmsparseswin.LoadImageFromFile', skip_corrupt=True))
    with pytest.warns(UserWarning, match=r'a\.jpg'):
        assert skipping(dict(img_path=str(path))) is None


def test_a_missing_image_is_an_error_even_where_corrupt_ones_are_skipped(tmp_path):
    with pytest.raises(InputError, match=r'none\.jpg is missing'):
        LoadImageFromFile(skip_corrupt=True)(dict(img_path=str(tmp_path / 'none.jpg')))
    assert LoadImageFromFile(ignore_empty=True)(dict(img_path=str(tmp_path / 'none.jpg'))) is None


@pytest.mark.parametrize('flag', ['color', 'color_ignore_orientation'])
@pytest.mark.parametrize('upright', [True, False])
def test_a_turned_picture_is_read_as_it_was_labelled(tmp_path, flag, upright):
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:20, :30] = 255  # the corner that turning by 90 degrees takes to the upper right
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / 'a.png'
    Image.fromarray(pixels).save(path, exif=exif)
    height, width = (60, 40) if upright else (40, 60)
    results = LoadImageFromFile(color_type=flag)(dict(img_path=str(path), height=height, width=width))
    np.testing.assert_array_equal(results['img'], np.rot90(pixels, -1) if upright else pixels)
    assert results['ori_shape'] == (height, width)


def test_a_picture_of_another_size_is_named(tmp_path):
    path = tmp_path / 'a.png'
    path.write_bytes(encode('PNG'))
    assert LoadImageFromFile()(dict(img_path=str(path), height=37, width=53))['img'].shape == (37, 53, 3)
    with pytest.raises(InputError, match=r'a\.png is 53 x 37 pixels, but the annotation file says 106 x 74'):
        LoadImageFromFile()(dict(img_path=str(path), height=74, width=106))
    with pytest.raises(InputError, match=r'width and height exchanged'):
        LoadImageFromFile()(dict(img_path=str(path), height=53, width=37))


@pytest.mark.filterwarnings('ignore:Image size')
def test_a_large_tiff_is_not_corrupt(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)  # Pillow's guard, twice over
    buffer = io.BytesIO()
    Image.new('1', (80, 70)).save(buffer, 'TIFF', compression='group4')
    assert find_damage(buffer.getvalue()) is None
    assert Image.MAX_IMAGE_PIXELS == 1000


@pytest.mark.parametrize(
    ('dtype', 'shape', 'deep'),
    [('uint8', (5, 6, 3), False), ('uint16', (5, 6), True), ('uint16', (5, 6, 3), True)],
)
@pytest.mark.parametrize('kind', ['png', 'tif'])
def test_depth_comes_from_the_header(tmp_path, dtype, shape, deep, kind):
    path = str(tmp_path / f'a.{kind}')
    cv2.imwrite(path, np.zeros(shape, dtype))
    header = read_header(path)
    assert header is not None
    assert header.deep == deep
    assert header.size == (6, 5)
