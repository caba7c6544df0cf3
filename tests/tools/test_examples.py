"""The scripts of examples/ run as a user runs them, and do what they say."""

import json
import shutil

import cv2
import numpy as np
from PIL import Image


def test_predict_folder(tools, detector, tmp_path):
    pictures = detector.folder / 'coco/images'
    options = [detector.config, detector.checkpoint, pictures, 'out']
    done = tools.run('../examples/predict_folder.py', *options, cwd=tmp_path)
    assert done.code == 0, done.err
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == [
        *sorted(path.name for path in pictures.iterdir()),
        'predictions.csv',
    ]
    assert (tmp_path / 'out/predictions.csv').read_text().splitlines()[0] == 'image,class,label,score,x1,y1,x2,y2'


def test_predict_video_draws_ten_frames(tools, detector, tmp_path):
    video = cv2.VideoWriter(str(tmp_path / 'in.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 5, (64, 48))
    for index in range(10):
        frame = np.full((48, 64, 3), 20, np.uint8)
        frame[8:30, 4 * index : 4 * index + 20] = 220
        video.write(frame)
    video.release()
    options = [detector.config, detector.checkpoint, 'in.avi', 'out.avi']
    done = tools.run('../examples/predict_video.py', *options, cwd=tmp_path)
    assert done.code == 0, done.err
    assert [line.split()[0] for line in done.out.splitlines() if line[:1].isdigit()] == [str(i) for i in range(10)]
    drawn = cv2.VideoCapture(str(tmp_path / 'out.avi'))
    assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == 10
    assert drawn.get(cv2.CAP_PROP_FPS) == 5
    assert drawn.read()[1].shape == (48, 64, 3)


def test_annotate_with_supervision(tools, detector, tmp_path):
    picture = detector.folder / 'coco/images/000.jpg'
    options = [detector.config, detector.checkpoint, picture, 'out.png']
    done = tools.run('../examples/annotate_with_supervision.py', *options, cwd=tmp_path)
    assert done.code == 0, done.err
    assert Image.open(tmp_path / 'out.png').size == (64, 48)
    assert ' objects: ' in done.out


def test_train_classifier(tools, classifier, tmp_path):
    for split in ('train', 'val'):
        shutil.copytree(classifier.folder / 'images', tmp_path / 'data' / split)
    done = tools.run('../examples/train_classifier.py', classifier.config, 'data', 1, cwd=tmp_path)
    assert done.code == 0, done.err
    assert 'top-1 accuracy ' in done.out
    assert done.out.count('.jpg: ') == 4


def test_train_detector_on_other_classes(tools, shapes, tmp_path):
    shutil.copytree(shapes, tmp_path / 'data')
    for path in (tmp_path / 'data/annotations').glob('*.json'):
        content = json.loads(path.read_text())
        for category in content['categories']:
            category['name'] = f'my {category["name"]}'
        path.write_text(json.dumps(content))
    done = tools.run('../examples/train_detector.py', 'data', 1, cwd=tmp_path)
    assert done.code == 0, done.err
    assert 'classes: my disk, my ring, ' in done.out
    assert 'box mAP ' in done.out
