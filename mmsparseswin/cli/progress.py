"""Progress of long work: a bar with the time left in a terminal, plain lines in a log file."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_EVERY = 30.0  # seconds between two lines
T = TypeVar('T')


@contextmanager
def show_progress(
    what: str, total: int | None, out: TextIO | None = None, every: float = _EVERY
) -> Iterator[Callable[[int], None]]:
    """Show how far the work is, on stderr.

    Args:
        what: the work, e.g. 'Predicting'.
        total: number of steps; None where nobody knows.
        out: where to write, in place of stderr.
        every: seconds between two lines where `out` is no terminal; the last step always has one.

    Yields:
        a function to call with the number of steps that are done now.
    """
    out = out or sys.stderr
    if out.isatty():
        columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(file=out)) as bar:
            task = bar.add_task(what, total=total)
            yield lambda steps: bar.advance(task, steps)
        return
    start = last = time.monotonic()
    done = 0

    def advance(steps: int) -> None:
        nonlocal done, last
        done += steps
        now = time.monotonic()
        if (total is not None and done >= total) or now - last >= every:
            last = now
            print(f'{what}: {done}{_ahead(done, total, now - start)}', file=out, flush=True)

    yield advance
    if total is None:
        print(f'{what}: {done} in {_clock(time.monotonic() - start)}', file=out, flush=True)


def show_steps(what: str, items: Iterable[T]) -> Iterator[T]:
    """Yield the items, and show how many there were so far."""
    with show_progress(what, None) as advance:
        for one in items:
            yield one
            advance(1)


def _ahead(done: int, total: int | None, seconds: float) -> str:
    if total is None:
        return f' in {_clock(seconds)}'
    ahead = f'about {_clock(seconds / max(done, 1) * max(total - done, 0))} left'
    return f' of {total} in {_clock(seconds)}' if done >= total else f' of {total}, {ahead}'


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f'{minutes // 60}:{minutes % 60:02d}:{seconds:02d}'
