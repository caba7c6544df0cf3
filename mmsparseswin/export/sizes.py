"""Export a detector for several sizes, a file for each, into one folder."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmsparseswin.errors import InputError
from mmsparseswin.export.exporting import export
from mmsparseswin.export.formats import FORMATS
from mmsparseswin.export.subjects import Subject


def file_of(folder: Path, name: str, shape: tuple[int, int]) -> Path:
    """Return the path of the file of a format and a size in a folder: ``480x640.onnx``."""
    return folder / f'{shape[0]}x{shape[1]}{FORMATS[name].suffix}'


def export_sizes(
    subject: Subject, name: str, folder: Path, shapes: Sequence[tuple[int, int]], **options: Any
) -> list[dict[str, Any]]:
    """Export ``subject`` once for each shape; the folder appears when all files are proven, or not at all.

    Args:
        subject: a detector.
        name: 'onnx' or 'openvino'.
        folder: a new folder, or an empty one.
        shapes: heights and widths.
        options: of :func:`mmsparseswin.export.exporting.export`.

    Returns:
        What the JSON file of each says.

    Raises:
        InputError: no detector, two equal shapes, a folder that holds something, or what :func:`export` refuses.
    """
    if subject.task != 'detector':
        raise InputError('--shape several times is for detectors, whose pictures have many sizes: give one')
    if len(set(shapes)) < len(shapes):
        raise InputError('--shape: each size once')
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f'--out {folder}: files of several sizes go into a new or an empty folder')
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f'.{folder.name}.', suffix='.partial', dir=folder.parent))
    try:
        reports = [export(subject, name, file_of(aside, name, shape), shape, **options) for shape in shapes]
        aside.chmod(0o755)
        os.replace(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return reports
