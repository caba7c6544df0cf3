"""A signal to the whole job leaves data loader workers at work; the process that reads from them can end them."""

import os
import signal
import subprocess

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from mmsparseswin.engine.stop_signals import LeaveWithParent


class Numbers(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.tensor(index)


@pytest.mark.skipif(not hasattr(signal, 'sigwaitinfo'), reason='the sender of a signal is unknown here')
def test_workers_outlive_a_signal_of_others_and_leave_with_the_reader():
    started = []
    loader = DataLoader(
        Numbers(), batch_size=1, num_workers=2, prefetch_factor=1, worker_init_fn=LeaveWithParent(started.append)
    )
    batches = iter(loader)
    assert [int(next(batches)), int(next(batches))] == [0, 1]  # one of each worker, so that both have started
    workers = batches._workers
    pids = [str(worker.pid) for worker in workers]
    for name in ('TERM', 'TERM', 'INT'):
        subprocess.run(['kill', f'-{name}', *pids], check=True)
    assert [int(batch) for batch in batches] == list(range(2, 8))
    assert not started  # the loader's own start-up ran in the workers

    other = iter(DataLoader(Numbers(), num_workers=1, worker_init_fn=LeaveWithParent(None)))
    next(other)
    (worker,) = other._workers
    os.kill(worker.pid, signal.SIGTERM)  # as multiprocessing does when this process ends
    worker.join(30)
    assert worker.exitcode == 0
