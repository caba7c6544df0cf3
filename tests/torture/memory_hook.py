"""A hook that writes the resident memory of its process down after each iteration."""

import os
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


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
            file.write(f'{pages * os.sysconf("SC_PAGE_SIZE")}\n')
