"""Run a command and measure its time and memory."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple


class Measured(NamedTuple):
    """A command that has ended; `peak` is the largest resident memory of its process in bytes."""

    code: int
    out: str
    err: str
    seconds: float
    cpu_seconds: float
    peak: int

    def __str__(self) -> str:
        return f'{self.seconds:.0f} s, {self.cpu_seconds:.0f} s of processor time, at most {self.peak / 1e9:.2f} GB'


def run_measured(command: list[str], folder: Path) -> Measured:
    """Run `command` in `folder`; children of its own do not count."""
    with open(folder / 'out.txt', 'w+') as out, open(folder / 'err.txt', 'w+') as err:
        start = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=err)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - start
        out.seek(0)
        err.seek(0)
        unit = 1 if sys.platform == 'darwin' else 1024
        cpu = used.ru_utime + used.ru_stime
        return Measured(process.returncode, out.read(), err.read(), seconds, cpu, used.ru_maxrss * unit)
