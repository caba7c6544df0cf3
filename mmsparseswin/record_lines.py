"""Records of a long run that outlive a stop: a file of JSON lines."""

import json
from pathlib import Path
from typing import Any

from mmsparseswin.atomic_files import write_atomically
from mmsparseswin.errors import InputError


class RecordLines:
    """File of JSON lines: first the run that writes it, then its records, each written as soon as it is known.

    Args:
        path: the file.
        run: what the records depend on.
        resume: keep the records of a stopped run, without a last line that was cut off.
        what: the records' name, for messages.

    Raises:
        InputError: the records are of another run, or the file holds something else.
    """

    def __init__(self, path: Path, run: dict[str, Any], resume: bool, what: str) -> None:
        run = json.loads(json.dumps(run))  # tuples become lists, as in the file
        lines = path.read_bytes().splitlines(keepends=True) if resume and path.is_file() else []
        whole = [line for line in lines if line.endswith(b'\n')]
        try:
            parsed = [json.loads(line) for line in whole]
            before = dict(parsed[0]['run']) if parsed else run
            records = [dict(one) for one in parsed[1:]]
        except (ValueError, KeyError, TypeError):
            raise InputError(f'{path} holds no {what}; delete it, or leave out --resume') from None
        if before != run:
            changed = [f'{key} {before.get(key)!r} (now {run[key]!r})' for key in run if before.get(key) != run[key]]
            raise InputError(f'--resume: {path} was written with {", ".join(changed)}; choose another --out-dir')
        self.path, self.records = path, records
        write_atomically(path, b''.join(whole) or json.dumps({'run': run}).encode() + b'\n')
        self._file = open(path, 'a', buffering=1)  # noqa: SIM115 -- closed by __exit__ or with this object

    def __enter__(self) -> 'RecordLines':
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, record: dict[str, Any]) -> None:
        """Append a record to the file."""
        self._file.write(json.dumps(record) + '\n')
        self.records.append(record)
