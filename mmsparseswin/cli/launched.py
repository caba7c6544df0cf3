"""Processes of a distributed run: end with their launcher, and let the one that failed first have the last word."""

import ctypes
import os
import re
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1  # of Linux's prctl(2)
# Errors of gloo, NCCL and the store in a process whose neighbour has ended.
_NEIGHBOUR = re.compile(
    r'connection (was )?(closed|reset|refused)|broken pipe|socket (closed|timeout)|remote process exited|'
    r'heartbeat|store.*(failed|timed? ?out)|application timeout caused pair closure|connect.*timed? ?out',
    re.IGNORECASE,
)


def end_with_launcher() -> None:
    """Let the system kill this process when torchrun, its parent, is gone; a launcher that is killed cannot do it.

    Only on Linux, and only in a process that torchrun started.
    """
    if 'TORCHELASTIC_RUN_ID' not in os.environ or not sys.platform.startswith('linux'):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent == 1 or os.getppid() != parent:  # gone before the call
        os._exit(1)


def neighbour_ended(error: BaseException) -> bool:
    """Return True if `error` says that another process of the run has ended."""
    return isinstance(error, RuntimeError) and bool(_NEIGHBOUR.search(str(error)))


def wait_for_launcher() -> None:
    """Let the launcher end this process, if it sees that another one failed first."""
    time.sleep(5)
