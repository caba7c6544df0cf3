"""Files of an export: written aside and moved to their places at the end, and the versions their JSON tells."""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from mmsparseswin import __version__
from mmsparseswin.export.formats import FORMATS
from mmsparseswin.export.subjects import Pixels

VERSION = 1  # of the JSON file


@contextmanager
def aside(out: Path) -> Iterator[Path]:
    """Give a path of the name of `out` in a new folder beside it; what was written there moves beside `out` at the end.

    A failure leaves nothing. The file itself moves last, so that whoever sees it finds its companions.
    """
    folder = Path(tempfile.mkdtemp(prefix=f'.{out.name}.', suffix='.partial', dir=out.parent))
    try:
        yield folder / out.name
        companions = [one for one in folder.iterdir() if one.name != out.name]
        for one in [*companions, folder / out.name]:
            os.replace(one, out.parent / one.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def versions(name: str, int8: bool = False) -> dict[str, str]:
    """Return the versions of all packages that had a hand in a file of the format `name`."""
    packages = ('torch', *FORMATS[name].packages, *(['nncf'] if int8 and name == 'openvino' else []))
    ours = {'mmsparseswin': __version__, 'python': platform.python_version()}
    return {**ours, **{one: metadata.version(one) for one in packages}}


def describe_input(example: torch.Tensor, batch: bool, order: str | None, pixels: Pixels | None) -> dict[str, Any]:
    """Describe the input: what the file takes, and what mean and std are, inside or before it."""
    return {
        'name': 'image',
        'type': 'uint8' if order else 'float32',
        'shape': ['batch' if batch else 1, *example.shape[1:]],
        'layout': 'NHWC' if order else 'NCHW',
        'channels': order or (pixels.order if pixels else 'rgb'),
        'normalised': 'inside' if order else 'before',
        'mean': pixels and list(pixels.mean),
        'std': pixels and list(pixels.std),
    }
