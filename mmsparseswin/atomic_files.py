"""Write files atomically: an interrupted process leaves no partial file."""

import os
import uuid
from pathlib import Path


def write_atomically(path: str | Path, content: bytes | memoryview) -> None:
    """Write `content` to a temporary file and rename it to `path`; make missing folders."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A random name, because processes of several machines may share the folder and a process number.
    partial = path.with_name(f'{path.name}.{uuid.uuid4().hex}.partial')
    try:
        with open(partial, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
