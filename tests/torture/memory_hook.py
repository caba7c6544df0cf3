"""A hook that writes down the resident memory of its process, and what malloc has given out of it, by iteration."""

import ctypes
import os
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

_FIRST = ('arena', 'ordblks', 'smblks', 'hblks', 'hblkhd')
_LAST = ('usmblks', 'fsmblks', 'uordblks', 'fordblks', 'keepcost')


class _Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (*_FIRST, *_LAST)]  # of glibc's mallinfo2


def allocated() -> int:
    """Return the bytes in blocks that malloc has given out; the rest of the heap is free, but may stay resident."""
    library = ctypes.CDLL(None)
    library.mallinfo2.restype = _Mallinfo
    found = library.mallinfo2()
    return found.uordblks + found.hblkhd


@HOOKS.register_module()
class MemoryHook(Hook):
    def __init__(self, path):
        self.path = Path(path)
        self.path.write_text('')

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.note()

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.note()

    def note(self):
        pages = int(Path('/proc/self/statm').read_text().split()[1])
        with self.path.open('a') as file:
            file.write(f'{pages * os.sysconf("SC_PAGE_SIZE")} {allocated()}\n')
