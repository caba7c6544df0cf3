import io

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile as Mmcv
from mmdet.registry import TRANSFORMS
from PIL import Image

from mmsparseswin.engine.loading import LoadImageFromFile
from mmsparseswin.errors import InputError
from mmsparseswin.image_headers import find_damage


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
