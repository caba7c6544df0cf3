"""Predict the frames of a video, and write the video with the predictions drawn."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import cv2

from mmsparseswin.cli.picture_sources import VIDEOS, read_jobs
from mmsparseswin.cli.prediction_lines import PredictionLines, predict_each
from mmsparseswin.errors import InputError
from mmsparseswin.image_files import Job


def split_videos(paths: Sequence[str]) -> tuple[list[str], list[Path]]:
    """Return the inputs that are pictures or folders, and the videos.

    Raises:
        InputError: a video that is not there, or two of one name, whose frames would have one name.
    """
    videos = [Path(path) for path in paths if Path(path).suffix.lower() in VIDEOS]
    for index, video in enumerate(videos):
        if not video.is_file():
            raise InputError(f'no video at {video}')
        if twin := next((other for other in videos[:index] if other.stem == video.stem), None):
            raise InputError(f'{twin} and {video} have one name: predict them in two runs')
    return [path for path in paths if Path(path).suffix.lower() not in VIDEOS], videos


def count_frames(video: Path) -> int:
    """Return the number of frames that the file names; cut-off files have fewer."""
    capture = cv2.VideoCapture(str(video))
    try:
        return max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
    finally:
        capture.release()


def predict_video(
    predictor: Any,
    video: Path,
    lines: PredictionLines,
    batch_size: int,
    folder: Path | None,
    advance: Callable[[int], None],
) -> list[str]:
    """Predict every frame, and return the names of the frames in order.

    Frames that `lines` has are not predicted again, but drawn again.

    Args:
        predictor: of load_predictor.
        video: the file.
        lines: get a record per frame, named VIDEO_000000.jpg and so on.
        batch_size: frames at once.
        folder: for the drawn video, NAME.mp4; None draws nothing.
        advance: called with the number of frames that are done.

    Raises:
        InputError: no frame can be read, or no video can be written.
    """
    names: list[str] = []
    writer = None
    try:
        for batch in _batches(read_jobs(video), batch_size):
            for job, record in predict_each(predictor, [job for job in batch if not lines.has(job)], None):
                lines.add(record, job.path)
            for job in batch:
                names.append(str(job.name))
                if folder is not None:
                    writer = writer or _open(folder / f'{video.stem}.mp4', video, job)
                    known = lines.records.get(str(job.name))
                    assert job.pixels is not None
                    drawn = (
                        job.pixels if known is None else predictor.draw(job.pixels[..., ::-1].copy(), known)[..., ::-1]
                    )
                    writer.write(cv2.resize(drawn, job.pixels.shape[1::-1]))
            advance(len(batch))
    finally:
        if writer is not None:
            writer.release()
    return names


def _batches(jobs: Iterator[Job], size: int) -> Iterator[list[Job]]:
    while batch := list(islice(jobs, size)):
        yield batch


def _open(path: Path, video: Path, job: Job) -> Any:
    """Open a video to write, of the size of the frame `job` and as fast as `video`."""
    capture = cv2.VideoCapture(str(video))
    speed = capture.get(cv2.CAP_PROP_FPS) or 25.0
    capture.release()
    path.parent.mkdir(parents=True, exist_ok=True)
    assert job.pixels is not None
    size = (job.pixels.shape[1], job.pixels.shape[0])
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), speed, size)  # type: ignore[attr-defined]
    if not writer.isOpened():
        raise InputError(f'OpenCV cannot write the video {path}; leave it out with --no-pictures')
    return writer
