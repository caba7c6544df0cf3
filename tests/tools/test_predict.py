import json
import shutil

import pytest
from PIL import Image


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
    assert (tmp_path / 'out' / 'pictures' / '000.png').is_file()


def test_mistakes_are_named(tools, detector, classifier, photos, tmp_path):
    (tmp_path / 'empty').mkdir()
    for arguments, words in [
        ([detector.checkpoint, 'none.jpg'], 'no image or folder at none.jpg'),
        ([detector.checkpoint, 'empty'], 'no image in the folder empty'),
        ([detector.checkpoint, 'photos/cut.jpg'], 'none of the images could be read'),
        ([detector.checkpoint, 'photos/000.jpg', detector.folder / 'coco/images/000.jpg'], 'in two runs'),
        ([classifier.checkpoint, 'photos'], 'the checkpoint does not fit this config'),
    ]:
        result = tools.run('predict.py', detector.config, *arguments, cwd=tmp_path)
        assert result.code == 2
        assert words in ' '.join(result.errors)
        assert 'Traceback' not in result.err
