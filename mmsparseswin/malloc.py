"""How the C library's malloc treats freed memory."""

import contextlib
import ctypes


def keep_freed_memory() -> bool:
    """Let glibc take large blocks from the heap and never give them back, so that freed pages are used again.

    By default every large activation is mapped anew, and the kernel clears its pages one by one (docs/benchmarks tells
    what that costs). For programs, not for libraries: it holds for the whole process. Returns whether the C library has
    such a setting.
    """
    m_trim_threshold, m_mmap_max = -1, -4  # malloc.h
    try:
        libc = ctypes.CDLL(None)
        return bool(libc.mallopt(m_mmap_max, 0) and libc.mallopt(m_trim_threshold, 2**31 - 1))
    except AttributeError:
        return False


def return_freed_memory() -> None:
    """Give free pages back to the kernel, where the C library can."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
