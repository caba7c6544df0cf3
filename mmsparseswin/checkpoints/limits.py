"""Bounds of time and memory for reading a file that may have been made to use them up."""

import contextlib
import os
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from mmsparseswin.errors import InputError

_SECONDS = 8  # of processor time; unpickling takes about 1 s per 5,000 tensors with the states of their optimizer
_BYTES_PER_SECOND = 200e6  # checksums on a slow machine
_SPARE = 512 * 2**20


@contextlib.contextmanager
def bounded(path: Path) -> Iterator[None]:
    """Bound the processor time and the memory of what reads `path`; both grow with its size.

    Where the system has no such bounds (memory: only Linux; time: only the main thread), there are none.

    Raises:
        InputError: the time is up. Too much memory raises what a failed allocation raises: MemoryError, RuntimeError.
    """
    size = path.stat().st_size
    with _memory(2 * size + _SPARE), _time(_SECONDS + size / _BYTES_PER_SECOND, path):
        yield


@contextlib.contextmanager
def _memory(more: int) -> Iterator[None]:
    try:
        with open('/proc/self/statm') as file:
            used = int(file.read().split()[0]) * os.sysconf('SC_PAGE_SIZE')
    except OSError:
        yield
        return
    old, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = min(limit for limit in (used + more, old, hard) if limit != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (old, hard))


@contextlib.contextmanager
def _time(seconds: float, path: Path) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise InputError(f'{path} takes more than {seconds:.0f} s to read, as no weights of its size do: is it one?')

    old = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, old)
