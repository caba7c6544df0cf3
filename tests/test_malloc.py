"""Test the memory that glibc keeps when freed, in a process of its own."""

import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, sys
from mmsparseswin import malloc
from mmsparseswin.benchmark.timing import _resident

def resident():
    return _resident('VmRSS') / 2**20

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
assert getattr(malloc, sys.argv[1])()
before = resident()
blocks = [libc.malloc(8 * 2**20) for _ in range(8)]
for block in blocks:
    ctypes.memset(block, 1, 8 * 2**20)
held = resident()
last = libc.malloc(1000)  # at the end of the heap, so that it cannot shrink
for block in blocks:
    libc.free(block)
print(held - before, resident() - before)
malloc.return_freed_memory()
print(held - before, resident() - before)
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='settings of glibc')
@pytest.mark.parametrize(('setting', 'kept'), [('keep_freed_memory', 64), ('map_large_blocks', 0)])
def test_freed_blocks_are_kept_or_returned(setting, kept):
    run = subprocess.run([sys.executable, '-c', SCRIPT, setting], capture_output=True, text=True, check=True)
    (held, after), (_, trimmed) = [map(float, line.split()) for line in run.stdout.splitlines()[-2:]]
    # The first block may reuse heap that imports have freed, so some MiB of it may be resident before.
    assert held == pytest.approx(64, abs=8)
    assert after == pytest.approx(kept, abs=8)
    assert trimmed < 2
