"""Control how the C library's malloc treats freed memory."""

import contextlib
import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # malloc.h


def keep_freed_memory() -> bool:
    """Let glibc take large blocks from the heap and never give them back, so that freed pages are used again.

    By default every large activation is mapped anew, and the kernel clears its pages (see docs/benchmarks).
    The setting holds for the whole process, so it is for programs, not libraries. Return True if the C library has it.
    """
    return _set(_MMAP_MAX, 0) and _set(_TRIM_THRESHOLD, 2**31 - 1)


def map_large_blocks() -> bool:
    """Let glibc map every block from 1 MiB on alone and unmap it when freed, so that the heap keeps no holes.

    Resident memory then equals allocated memory. For the whole process; returns whether the C library can.
    """
    return _set(_MMAP_THRESHOLD, 2**20)


def _set(parameter: int, value: int) -> bool:
    try:
        return bool(ctypes.CDLL(None).mallopt(parameter, value))
    except AttributeError:
        return False


def return_freed_memory() -> None:
    """Return free pages to the kernel, if the C library can."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
