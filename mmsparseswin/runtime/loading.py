"""Load an exported file with the JSON beside it."""

import json
import os
from pathlib import Path
from typing import Any

from mmsparseswin.errors import InputError
from mmsparseswin.runtime.detector import Detector
from mmsparseswin.runtime.engines import open_engine
from mmsparseswin.runtime.model import Model
from mmsparseswin.runtime.sizes import SizedDetector

SUFFIXES = ('.onnx', '.xml')


def load(path: str | os.PathLike, threads: int = 0, precision: str = 'fp32') -> Model | Detector:
    """Load a file of ``mmsparseswin export``, ``.onnx`` or ``.xml``, with its JSON file beside it.

    Args:
        path: the file, or a folder of files of one detector for several sizes.
        threads: threads of one run; 0 leaves their number to the runtime.
        precision: 'fp32', or 'bf16', in which OpenVINO computes on processors that have it; what is int8 stays int8.

    Raises:
        InputError: no such file or JSON, a JSON of another file, a precision that is not there, or a model whose
            pictures cannot be prepared exactly.
    """
    path = Path(path)
    if path.is_dir():
        files: list[Any] = [load(one, threads, precision) for one in files_of(path)]
        return SizedDetector(path, files)
    engine, info = open_engine(path, threads, precision), _read_json(path)
    return Detector(path, engine, info) if info['task'] == 'detector' else Model(path, engine, info)


def files_of(folder: Path) -> list[Path]:
    """Return the exported files in a folder that runtimes read."""
    return sorted(one for one in folder.iterdir() if one.suffix in SUFFIXES)


def _read_json(path: Path) -> dict[str, Any]:
    beside = path.with_name(f'{path.name}.json')
    if not beside.is_file():
        raise InputError(f'{path}: no {beside.name} beside it, which mmsparseswin export writes; take it along')
    try:
        info = json.loads(beside.read_text(encoding='utf-8'))
        image, sizes = info['input'], info['bytes']
        if info['mmsparseswin_export'] != 1:
            raise InputError(f'{beside} is of another version of mmsparseswin; export the model again')
        if 'resizing' not in image:
            raise InputError(f'{path}: {beside.name} does not tell how pictures are resized; export the model again')
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f'{beside} is no JSON file of mmsparseswin export; export the model again') from None
    for name, size in sizes.items():
        other = path.with_name(name)
        if not other.is_file() or other.stat().st_size != size:
            raise InputError(f'{beside} does not belong to {other}: copy all files of the export together')
    return info
