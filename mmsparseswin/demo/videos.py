"""Draw predictions into a small video."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mmsparseswin.cli.picture_sources import VIDEOS
from mmsparseswin.cli.videos import count_frames
from mmsparseswin.demo import pictures
from mmsparseswin.demo.models import Models
from mmsparseswin.demo.uploads import MOST_BYTES
from mmsparseswin.easy import Results
from mmsparseswin.errors import InputError

MOST_FRAMES = 300
_MOST_PIXELS = 1920 * 1080


def check_video(path: Path) -> None:
    """Check that a video can be read and is small.

    Raises:
        InputError: it says why not.
    """
    if path.suffix.lower() not in VIDEOS:
        raise InputError(f'{path.name} is no video by its name: use one of {", ".join(sorted(VIDEOS))}')
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise InputError(f'{path.name} has {size / 2**20:.0f} MiB: use a video of at most {MOST_BYTES // 2**20}')
    capture = cv2.VideoCapture(str(path))
    width, height = (int(capture.get(what)) for what in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    opened = capture.isOpened() and width * height > 0
    capture.release()
    if not opened:
        raise InputError(f'{path.name} is no video that OpenCV can read: choose another')
    if width * height > _MOST_PIXELS:
        raise InputError(f'{path.name} has frames of {width} x {height}: make them at most 1920 x 1080')
    if (frames := count_frames(path)) > MOST_FRAMES:
        raise InputError(
            f'{path.name} has {frames} frames; this page takes {MOST_FRAMES}: cut it, or use `mmsparseswin predict`'
        )


def draw_video(
    models: Models, name: str, path: Path, folder: Path, score: float, advance: Callable[[int, int], None]
) -> tuple[Path, Path, int]:
    """Write the video with the predictions drawn, and their JSON; return both paths and the number of frames.

    The video is VP8 in WebM, which OpenCV writes and browsers play.

    Args:
        models: of the page.
        name: of the model.
        path: the video.
        folder: for the results.
        score: predictions below it are neither drawn nor written.
        advance: called with the frames that are done, and with all of them.

    Raises:
        InputError: see :func:`check_video`.
    """
    check_video(path)
    frames, speed = count_frames(path), _frames_per_second(path)
    folder.mkdir(parents=True, exist_ok=True)
    drawn, found = folder / f'{path.stem}.webm', []
    writer = None
    try:
        for result in models.predict_frames(name, path, score):
            picture = np.asarray(pictures.draw_result(result))
            if writer is None:
                size = (picture.shape[1], picture.shape[0])
                writer = cv2.VideoWriter(str(drawn), cv2.VideoWriter_fourcc(*'VP80'), speed, size)  # type: ignore[attr-defined]
            writer.write(np.ascontiguousarray(cv2.resize(picture, size)[..., ::-1]))
            found.append(result.without_picture())
            if len(found) > MOST_FRAMES:  # the header said less
                raise InputError(
                    f'{path.name} has more than {MOST_FRAMES} frames: cut it, or use `mmsparseswin predict`'
                )
            advance(len(found), max(frames, len(found)))
    finally:
        if writer is not None:
            writer.release()
    file = folder / 'predictions.json'
    file.write_text(json.dumps(Results(found).to_coco()))
    return drawn, file, len(found)


def _frames_per_second(path: Path) -> float:
    capture = cv2.VideoCapture(str(path))
    speed = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return speed if 1 <= speed <= 120 else 25.0
