"""Progress of long work: a bar with the time left in a terminal, plain lines in a log file."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_EVERY = 30.0  # seconds between two lines


@contextmanager
def show_progress(
    what: str, total: int, out: TextIO | None = None, every: float = _EVERY
) -> Iterator[Callable[[int], None]]:
    """Show how far the work is, on stderr.

    Args:
        what: the work, e.g. 'Predicting'.
        total: number of steps.
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
        if done >= total or now - last >= every:
            last = now
            left = (now - start) / max(done, 1) * max(total - done, 0)
            ahead = f', about {_clock(left)} left' if done < total else f' in {_clock(now - start)}'
            print(f'{what}: {done} of {total}{ahead}', file=out, flush=True)

    yield advance


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f'{minutes // 60}:{minutes % 60:02d}:{seconds:02d}'
