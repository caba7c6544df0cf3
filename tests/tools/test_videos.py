"""Test videos and the progress of tools/predict.py."""

import io
import json

import cv2
import numpy as np
import pytest

from mmsparseswin.cli.progress import show_progress, show_steps


@pytest.fixture
def video(tmp_path):
    """Seven frames of 96 x 64 at 10 frames a second."""
    path = tmp_path / 'clip.mp4'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 10, (96, 64))
    for index in range(7):
        frame = np.full((64, 96, 3), 40, np.uint8)
        frame[10:40, 5 + 8 * index : 35 + 8 * index] = 220
        writer.write(frame)
    writer.release()
    return path


def _frames(path):
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return frames, capture.get(cv2.CAP_PROP_FPS)


def test_a_video_gives_a_record_per_frame_and_a_drawn_video(tools, detector, video, tmp_path):
    image = detector.folder / 'coco' / 'images' / '001.jpg'
    command = ['predict.py', detector.config, detector.checkpoint, image, video]
    command += ['--out-dir', tmp_path / 'out', '--batch-size', 3, '--score-thr', 0.0]
    done = tools.run(*command, cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1].startswith('8 images, 0 skipped: ')
    assert 'Predicting clip.mp4: 7 of 7 in 0:' in done.err
    content = json.loads((tmp_path / 'out' / 'predictions.json').read_text())
    names = [one['file_name'] for one in content['images']]
    assert names == ['001.jpg', *(f'clip_{index:06d}.jpg' for index in range(7))]
    frames, speed = _frames(tmp_path / 'out' / 'pictures' / 'clip.mp4')
    assert (len(frames), frames[0].shape, speed) == (7, (64, 96, 3), 10)
    assert not np.allclose(frames[3], _frames(video)[0][3], atol=40)  # boxes are drawn
    lines = (tmp_path / 'out' / 'predictions.jsonl').read_text().splitlines(keepends=True)
    (tmp_path / 'out' / 'predictions.jsonl').write_text(''.join(lines[:5]))  # stopped after three frames
    again = tools.run(*command, '--resume', cwd=tmp_path)
    assert again.code == 0, again.err
    assert json.loads((tmp_path / 'out' / 'predictions.json').read_text()) == content
    assert len(_frames(tmp_path / 'out' / 'pictures' / 'clip.mp4')[0]) == 7


def test_videos_that_cannot_be_read_are_one_line(tools, detector, tmp_path):
    (tmp_path / 'broken.mp4').write_bytes(b'no video')
    for path, words in ((tmp_path / 'none.mp4', 'no video at'), (tmp_path / 'broken.mp4', 'holds no frame')):
        done = tools.run('predict.py', detector.config, detector.checkpoint, path, cwd=tmp_path)
        assert done.code == 2
        assert words in done.errors[0]


def test_progress_is_plain_lines_in_a_file_and_a_bar_in_a_terminal():
    file = io.StringIO()
    with show_progress('Work', 4, file, every=0) as advance:
        for _ in range(4):
            advance(1)
    lines = file.getvalue().splitlines()
    assert len(lines) == 4
    assert lines[0].startswith('Work: 1 of 4, about 0:00:0')
    assert lines[-1].startswith('Work: 4 of 4 in 0:00:0')
    assert '\x1b' not in file.getvalue()
    rare = io.StringIO()
    with show_progress('Work', 1000, rare, every=60) as advance:
        for _ in range(1000):
            advance(1)
    assert rare.getvalue().count('\n') == 1

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    with show_progress('Work', 2, terminal) as advance:
        advance(2)
    assert '2/2' in terminal.getvalue()


def test_steps_of_an_unknown_number_are_counted(capsys):
    assert list(show_steps('Work', iter('abc'))) == ['a', 'b', 'c']
    assert capsys.readouterr().err.startswith('Work: 3 in 0:00:0')
