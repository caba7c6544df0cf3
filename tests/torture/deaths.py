"""A training in a fork of this process that may kill itself while it saves."""

import json
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from yapf.yapflib import yapf_api

from mmsparseswin import atomic_files
from mmsparseswin.engine.checkpoint_saving import SafeCheckpointHook

TRAIN = Path(__file__).parents[2] / 'tools' / 'train.py'
# Functions that save a checkpoint: a kill may come before each of their lines.
SAVING = ('_save_checkpoint_with_step', 'save_checkpoint', 'put', 'write_atomically', '_delete')


def train(arguments: list[str], folder: Path, log: Path, prepare: Callable[[], None] | None) -> None:
    """Run tools/train.py in this fork; never returns."""
    code: Any = 1
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.chdir(folder)
        sys.argv = [str(TRAIN), *arguments]
        yapf_api.FormatCode = lambda text, **_: (text, False)  # a third of the start, spent on laying configs out
        if prepare:
            prepare()
        runpy.run_path(str(TRAIN), run_name='__main__')
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def kill_at_line(number: int, _: float) -> None:
    """Die before line `number` of saving, counted over this process."""
    left = [number]

    def before_line() -> None:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    _trace_saving(before_line)


def kill_in_write(number: int, share: float) -> None:
    """Die when `share` of the bytes of write `number` are in the file."""
    left = [number]

    def on_write(file: Any, content: Any) -> None:
        left[0] -= 1
        if left[0]:
            file.write(content)
            return
        file.write(content[: int(len(content) * share)])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    _replace_write(on_write)


def count_saving(path: Path) -> None:
    """Count the lines and writes of saving, and keep both numbers in `path`."""
    counts = [0, 0]

    def add(which: int) -> None:
        counts[which] += 1
        path.write_text(json.dumps(counts))

    def on_write(file: Any, content: Any) -> None:
        add(1)
        file.write(content)

    _trace_saving(lambda: add(0))
    _replace_write(on_write)


def _trace_saving(before_line: Callable[[], None]) -> None:
    """Call `before_line` before each line of the functions that save."""

    def local(frame: FrameType, event: str, _: Any) -> Any:
        if event == 'line':
            before_line()
        return local

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        name = frame.f_code.co_filename
        ours = frame.f_code.co_name in SAVING and ('mmsparseswin' in name or 'mmengine/runner' in name)
        return local if ours else None

    save = SafeCheckpointHook._save_checkpoint_with_step

    def traced(*args: Any, **kwargs: Any) -> None:
        sys.settrace(enter)
        try:
            save(*args, **kwargs)
        finally:
            sys.settrace(None)

    SafeCheckpointHook._save_checkpoint_with_step = traced  # type: ignore[method-assign]


class _File:
    """File of :mod:`mmsparseswin.atomic_files` whose `write` is replaced."""

    on_write: Callable[[Any, Any], None]

    def __init__(self, *args: Any) -> None:
        self.file = open(*args)  # noqa: SIM115 -- closed by __exit__

    def __enter__(self) -> '_File':
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, content: Any) -> None:
        type(self).on_write(self.file, content)


def _replace_write(on_write: Callable[[Any, Any], None]) -> None:
    _File.on_write = staticmethod(on_write)  # type: ignore[assignment]
    atomic_files.open = _File  # type: ignore[attr-defined]
