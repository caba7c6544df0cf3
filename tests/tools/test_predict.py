import json
import shutil
import struct
import zlib

import numpy as np
import pytest
import tiny
from PIL import Image

from mmsparseswin.image_files import batches, can_be_drawn, find_images


@pytest.fixture
def photos(detector, tmp_path):
    """Two pictures, one in a folder below, and a cut-off one."""
    drawn = detector.folder / 'coco' / 'images'
    (tmp_path / 'photos' / 'sub').mkdir(parents=True)
    shutil.copy(drawn / '000.jpg', tmp_path / 'photos')
    shutil.copy(drawn / '001.jpg', tmp_path / 'photos' / 'sub')
    (tmp_path / 'photos' / 'cut.jpg').write_bytes((drawn / '002.jpg').read_bytes()[:900])
    return tmp_path / 'photos'


def test_a_detector_writes_coco_json_and_pictures(tools, detector, photos, tmp_path):
    options = ['--score-thr', '0.008', '--batch-size', '2']
    result = tools.run('predict.py', detector.config, detector.checkpoint, 'photos', *options, cwd=tmp_path)
    assert result.code == 1, result.err  # one image was left out
    assert 'skipped corrupt image photos/cut.jpg' in result.err
    found = json.loads((tmp_path / 'predictions' / 'predictions.json').read_text())
    assert [image['file_name'] for image in found['images']] == ['000.jpg', 'sub/001.jpg']
    assert found['images'][0] == {'id': 1, 'file_name': '000.jpg', 'width': 64, 'height': 48}
    assert found['categories'] == [{'id': 1, 'name': 'square'}, {'id': 2, 'name': 'disc'}]
    assert found['annotations']
    for one in found['annotations']:
        x, y, width, height = one['bbox']
        assert x >= 0
        assert y >= 0
        assert x + width <= 64.01
        assert y + height <= 48.01
        assert one['score'] >= 0.008
    assert Image.open(tmp_path / 'predictions' / 'pictures' / 'sub' / '001.jpg').size == (64, 48)


def test_a_classifier_writes_class_and_score(tools, classifier, photos, tmp_path):
    photo = photos / '000.jpg'
    result = tools.run('predict.py', classifier.config, classifier.checkpoint, photo, '--out-dir', 'out', cwd=tmp_path)
    assert result.code == 0, result.err
    (found,) = json.loads((tmp_path / 'out' / 'predictions.json').read_text())
    assert found['class'] in ('a', 'b')
    assert 0.5 <= found['score'] <= 1
    assert (tmp_path / 'out' / 'pictures' / '000.jpg').is_file()


def test_mistakes_are_named(tools, detector, classifier, photos, tmp_path):
    (tmp_path / 'empty').mkdir()
    for arguments, words in [
        ([detector.checkpoint, 'none.jpg'], 'no image or folder at none.jpg'),
        ([detector.checkpoint, 'empty'], 'no image in the folder empty'),
        ([detector.checkpoint, 'photos/cut.jpg'], 'none of the images could be read'),
        ([classifier.checkpoint, 'photos'], 'the checkpoint does not fit this config'),
    ]:
        result = tools.run('predict.py', detector.config, *arguments, cwd=tmp_path)
        assert result.code == 2
        assert words in ' '.join(result.errors)
        assert 'Traceback' not in result.err


def png_header(width: int, height: int) -> bytes:
    """A PNG with all its marks, and no pixels behind the header."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    header = chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0))
    return b'\x89PNG\r\n\x1a\n' + header + chunk(b'IDAT', zlib.compress(b'')) + chunk(b'IEND', b'')


def large_tiff_header(path, width: int, height: int) -> None:
    """A small TIFF whose header says that it is large."""
    Image.new('RGB', (8, 9)).save(path)
    data = path.read_bytes()
    start, count = struct.unpack_from('<I', data, 4)[0], 0
    data = bytearray(data)
    for index in range(struct.unpack_from('<H', data, start)[0]):
        at = start + 2 + 12 * index
        tag, kind = struct.unpack_from('<HH', data, at)
        if tag in (256, 257):  # ImageWidth, ImageLength
            struct.pack_into('<HHII' if kind == 4 else '<HHIHxx', data, at, tag, kind, 1, (width, height)[tag - 256])
            count += 1
    assert count == 2
    path.write_bytes(data)


@pytest.mark.parametrize('kind', ['detector', 'classifier'])
def test_odd_pictures_are_predicted_or_named_in_one_line(tools, request, photos, tmp_path, kind):
    trained = request.getfixturevalue(kind)
    Image.new('RGB', (1, 4000)).save(photos / 'thin.png')
    Image.new('RGB', (20000, 10)).save(photos / 'flat.png')
    Image.fromarray(np.ones((9, 8), np.float32)).save(photos / 'float.tiff')
    Image.fromarray(np.ones((9, 8), np.int32)).save(photos / '32_bit.tiff')
    png = (photos / 'flat.png').read_bytes()
    (photos / 'header_alone.png').write_bytes(png[:33] + png[-12:])
    (photos / 'flipped_bits.png').write_bytes(png[:50] + bytes(byte ^ 255 for byte in png[50:70]) + png[70:])
    Image.new('RGB', (9, 8)).save(photos / 'moving.gif')
    (photos / 'huge.png').write_bytes(png_header(60000, 60000))
    (photos / 'hollow.png').write_bytes(png_header(640, 480))
    large_tiff_header(photos / 'large.tiff', 20000, 20000)
    options = ['--batch-size', '3', '--no-pictures']
    result = tools.run('predict.py', trained.config, trained.checkpoint, 'photos', *options, cwd=tmp_path)
    assert result.code == 1, result.err
    assert 'Traceback' not in result.err
    found = json.loads((tmp_path / 'predictions' / 'predictions.json').read_text())
    predicted = {one['file_name'] for one in (found['images'] if kind == 'detector' else found)}
    assert {'000.jpg', 'sub/001.jpg'} <= predicted
    lines = [line for line in result.err.splitlines() if line.startswith('skipped ')]
    for path in (path for path in photos.rglob('*.*') if path.is_file() and path.suffix != '.gif'):
        name = str(path.relative_to(photos))
        assert sum(f'photos/{name}: ' in line for line in lines) == (name not in predicted), (name, result.err)
    for name, words in {
        'huge.png': 'cut it into tiles',
        'large.tiff': 'cut it into tiles',
        'float.tiff': '8 bits',
        '32_bit.tiff': '8 bits',
        'header_alone.png': 'corrupt: ',
        'flipped_bits.png': 'corrupt: ',
    }.items():
        assert any(name in line and words in line for line in lines), (name, lines)
    if kind == 'detector':  # resized to 64 x 64 at most
        assert any('flat.png: 20000 x 10 is too thin' in line and 'tiles' in line for line in lines)
    assert not any('Error:' in line for line in lines), lines  # no library's words
    assert [line for line in result.err.splitlines() if 'passed over' in line] == [
        'photos: passed over 1 .gif; pictures are .bmp .jpeg .jpg .pgm .png .ppm .tif .tiff .webp'
    ]


def test_a_picture_too_large_to_draw_costs_no_other_picture(tmp_path, capsys):
    for name, side in (('a.png', 8), ('b.png', 8200), ('c.png', 8), ('d.png', 8)):
        Image.new('1', (side, side)).save(tmp_path / name)
    found = list(batches(find_images([str(tmp_path)]), 3))
    assert [[job.path.name for job in batch] for batch in found] == [['a.png'], ['b.png'], ['c.png', 'd.png']]
    assert [can_be_drawn(batch) for batch in found] == [True, False, True]
    assert capsys.readouterr().err == f'{tmp_path}/b.png has more than 67,108,864 pixels: predicted, but not drawn\n'


def test_a_stopped_run_goes_on(tools, detector, photos, tmp_path):
    (photos / 'cut.jpg').unlink()
    command = ['predict.py', detector.config, detector.checkpoint, 'photos', '--score-thr', '0.008']
    assert tools.run(*command, cwd=tmp_path).code == 0
    out = tmp_path / 'predictions'
    expected = json.loads((out / 'predictions.json').read_text())
    lines = (out / 'predictions.jsonl').read_text().splitlines(keepends=True)
    assert len(lines) == 3
    (out / 'predictions.jsonl').write_text(lines[0] + lines[1] + lines[2][:40])  # killed while writing the second
    shutil.rmtree(out / 'pictures')
    assert tools.run(*command, '--resume', cwd=tmp_path).code == 0
    assert json.loads((out / 'predictions.json').read_text()) == expected
    assert (out / 'predictions.jsonl').read_text().splitlines(keepends=True) == lines
    assert [path.name for path in (out / 'pictures').rglob('*.jpg')] == ['001.jpg']  # the first was not done again
    result = tools.run(*command[:-1], '0.5', '--resume', cwd=tmp_path)
    assert result.code == 2
    assert 'was written with score_thr 0.008 (now 0.5)' in result.errors[0]


def test_the_windows_that_a_model_keeps_are_drawn(tools, classifier, photos, tmp_path):
    config, checkpoint = tiny.write_windows(tmp_path, classifier.config)
    call = ['predict.py', config, checkpoint, photos / '000.jpg', '--show-windows', '--no-pictures', '--cfg-options']
    done = tools.run(*call, 'model.backbone.keep_windows=0.25', cwd=tmp_path)
    assert done.code == 0, done.err
    assert [path.name for path in (tmp_path / 'predictions' / 'pictures').iterdir()] == ['000.jpg.windows.png']
    assert Image.open(tmp_path / 'predictions' / 'pictures' / '000.jpg.windows.png').size[0] > 200
    done = tools.run(*call, 'model.backbone.keep_windows=1', cwd=tmp_path)
    assert done.code == 2
    assert 'the model keeps all windows' in done.err
