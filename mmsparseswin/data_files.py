"""Files of data sets: which are missing, and writing one that is whole or not there."""

import os
import tempfile
from collections.abc import Iterable


def missing_files(names: Iterable[str], folder: str) -> list[str]:
    """Return the names that are not below `folder`."""
    names = list(names)
    # One listing per folder: asking for 118,000 files one by one takes minutes on a network disk.
    listing = {part: _list(os.path.join(folder, part)) for part in {os.path.dirname(name) for name in names}}
    return [name for name in names if os.path.basename(name) not in listing[os.path.dirname(name)]]


def _list(folder: str) -> set[str]:
    try:
        with os.scandir(folder or '.') as entries:
            return {entry.name for entry in entries}
    except (OSError, ValueError):
        return set()


def write_atomically(path: str, data: bytes) -> None:
    """Write a file that other processes see whole or not at all."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(path), delete=False) as file:
        file.write(data)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)
