"""Write files that are whole or not there, whatever ends the process in between."""

import os
import uuid
from pathlib import Path


def write_atomically(path: str | Path, content: bytes | memoryview) -> None:
    """Write `content` to a temporary file in the folder of `path`, which it then replaces; missing folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Processes of several machines may write the same file of a shared folder: a process number is not enough.
    partial = path.with_name(f'{path.name}.{uuid.uuid4().hex}.partial')
    try:
        with open(partial, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
