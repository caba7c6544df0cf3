"""Predictions that outlive a stopped run: a JSON line per picture, and no picture that loses the others."""

import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsparseswin.errors import InputError
from mmsparseswin.image_headers import find_damage
from mmsparseswin.log_filters import is_verbose
from mmsparseswin.record_lines import RecordLines

if TYPE_CHECKING:
    from mmsparseswin.image_files import Job

_LONGEST = 300  # characters of a library's message


class PredictionLines:
    """File of a record per picture, see :class:`RecordLines`.

    Args:
        path: the file.
        run: what the predictions depend on.
        resume: keep the records of a stopped run.

    Raises:
        InputError: the records are of another run, or the file holds something else.
    """

    def __init__(self, path: Path, run: dict[str, Any], resume: bool) -> None:
        self._lines = RecordLines(path, run, resume, 'predictions')
        self.records: dict[str, dict] = {}
        self._paths: dict[str, str | None] = {}
        try:
            for record in self._lines.records:
                self._paths[record['file_name']] = record.pop('path', None)
                self.records[record['file_name']] = record
        except KeyError:
            raise InputError(f'{path} holds no predictions; delete it, or leave out --resume') from None

    def __enter__(self) -> 'PredictionLines':
        return self

    def __exit__(self, *error: Any) -> None:
        self._lines.__exit__(*error)

    def add(self, record: dict, path: Path) -> None:
        """Write the record of the picture at `path`."""
        self._lines.add({**record, 'path': os.path.abspath(path)})
        self.records[record['file_name']] = record

    def has(self, job: 'Job') -> bool:
        """Return True if the stopped run predicted this picture.

        Raises:
            InputError: it predicted another one of this name.
        """
        before = self._paths.get(str(job.name))
        if before is not None and before != os.path.abspath(job.path):
            raise InputError(
                f'--resume: {job.name} of the stopped run is {before}, and now {job.path}; give all images in one run, '
                'which names them apart, or choose another --out-dir'
            )
        return str(job.name) in self.records


def predict_each(predictor: Any, batch: 'list[Job]', pictures: Path | None) -> 'Iterator[tuple[Job, dict]]':
    """Yield the pictures of `batch` and their records; if it fails, each alone, and name the ones that fail."""
    try:
        yield from zip(batch, predictor.predict(batch, pictures), strict=True)
        return
    except Exception as error:  # of any picture, decoder, transform or model
        if len(batch) == 1:
            if is_verbose():
                traceback.print_exc()
            print(f'skipped image {batch[0].path}: {_reason(error, batch[0])}', file=sys.stderr)
            return
    for job in batch:
        yield from predict_each(predictor, [job], pictures)


def _reason(error: Exception, job: 'Job') -> str:
    """Return why the image of `job` could not be predicted, in one line."""
    try:
        damage = find_damage(job.path.read_bytes(), decode=True)  # mmcv and OpenCV give no reason
    except OSError as unreadable:
        damage = unreadable.strerror
    if damage:
        return f'corrupt: {damage}'
    if getattr(error, 'func', None) == 'resize' and job.size:  # of OpenCV
        width, height = job.size
        return f'{width} x {height} is too thin for the size that the config resizes to; cut it into tiles'
    return ' '.join(f'{type(error).__name__}: {error}'.split())[:_LONGEST]
