"""Test two models side by side, and predictions drawn into a video."""

import json
import threading

import cv2
import numpy as np
import pytest

from mmsparseswin.demo import videos
from mmsparseswin.demo.measured import compare
from mmsparseswin.demo.models import LOWEST
from mmsparseswin.demo.videos import draw_video
from mmsparseswin.errors import InputError

SPARSE, SEMANTIC = 'cascade_sparseswin_smoke', 'cascade_stvitr_smoke'


def write_video(path, frames=5, size=(64, 48)):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 10, size)
    rng = np.random.default_rng(0)
    for _ in range(frames):
        writer.write(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))
    writer.release()
    return path


def test_two_models_are_measured_in_turns(models, pictures):
    first, second = compare(models, [(SPARSE, 1.0), (SEMANTIC, 1.0)], pictures[0])
    assert first.params == sum(one.numel() for one in models._models[SPARSE].network.parameters())
    assert first.params != second.params
    assert first.macs > first.backbone > 10**6
    assert min(first.seconds, second.seconds) > 0
    np.testing.assert_array_equal(first.result.boxes, models.predict(SPARSE, pictures[0]).boxes)


def test_fewer_windows_cost_less_and_leave_the_model_as_it_was(models, pictures):
    before = models._models[SPARSE].network.backbone.keep_windows
    whole, half = compare(models, [(SPARSE, 1.0), (SPARSE, 0.5)], pictures[0])
    assert half.backbone < whole.backbone
    assert half.backbone < half.macs
    assert half.params == whole.params
    assert models._models[SPARSE].network.backbone.keep_windows == before
    np.testing.assert_array_equal(whole.result.boxes, models.predict(SPARSE, pictures[0]).boxes)


def test_a_video_is_drawn_and_written_as_json(models, tmp_path):
    path = write_video(tmp_path / 'film.mp4')
    steps = []
    drawn, file, frames = draw_video(
        models, SPARSE, path, tmp_path / 'out', LOWEST, lambda done, of: steps.append((done, of))
    )
    assert frames == 5
    assert steps == [(number, 5) for number in range(1, 6)]
    content = json.loads(file.read_text())
    assert [one['file_name'] for one in content['images']] == [f'film_{number:06d}.jpg' for number in range(5)]
    assert content['annotations']
    capture = cv2.VideoCapture(str(drawn))
    assert drawn.suffix == '.webm'
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    assert int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)) == 640
    pixels = [capture.read()[1] for _ in range(5)]
    assert all(one is not None for one in pixels)
    capture.release()


def test_others_use_the_model_between_two_frames(models, pictures, tmp_path):
    path, done = write_video(tmp_path / 'film.mp4'), []

    def advance(number: int, _: int) -> None:
        if number == 2:  # from another thread: the lock must be free here
            other = threading.Thread(target=lambda: done.append(models.predict(SEMANTIC, pictures[0])))
            other.start()
            other.join(60)
            assert len(done) == 1

    draw_video(models, SPARSE, path, tmp_path / 'out', 0.5, advance)
    assert len(done) == 1


def test_videos_that_are_refused(models, tmp_path, monkeypatch):
    def draw(path):
        draw_video(models, SPARSE, path, tmp_path / 'out', 0.5, lambda *_: None)

    (tmp_path / 'notes.mp4').write_text('no video')
    with pytest.raises(InputError, match=r'notes\.mp4 is no video that OpenCV can read'):
        draw(tmp_path / 'notes.mp4')
    (tmp_path / 'notes.txt').write_text('no video')
    with pytest.raises(InputError, match=r'notes\.txt is no video by its name'):
        draw(tmp_path / 'notes.txt')
    monkeypatch.setattr(videos, 'MOST_FRAMES', 4)
    with pytest.raises(InputError, match='has 5 frames; this page takes 4'):
        draw(write_video(tmp_path / 'long.mp4'))
    monkeypatch.setattr(videos, 'count_frames', lambda _: 1)  # a header that says less
    with pytest.raises(InputError, match='more than 4 frames'):
        draw(tmp_path / 'long.mp4')
    with pytest.raises(InputError, match='frames of 2000 x 1100: make them'):
        draw(write_video(tmp_path / 'large.mp4', 1, (2000, 1100)))
