"""Deaths in a distributed run of two processes on CPUs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[2] / 'tools' / 'launch.py'
TOOL = """
import os, sys, time
from datetime import timedelta
import torch
from torch import distributed
from mmsparseswin import cli
from mmsparseswin.errors import InputError

def main():
    distributed.init_process_group('gloo', timeout=timedelta(seconds=60))
    rank = distributed.get_rank()
    open(f'pid_{rank}', 'w').write(str(os.getpid()))
    for step in range(600):
        if step == 3 and rank == 1 and sys.argv[1] == 'bug':
            raise ZeroDivisionError('the first error')
        if step == 3 and rank == 1 and sys.argv[1] == 'input':
            raise InputError('the first error')
        distributed.all_reduce(torch.ones(1))
        time.sleep(0.1)

cli.run_tool(main)
"""


@pytest.fixture
def launch(tmp_path):
    """Start the tool above in two processes; all of them are ended after the test."""
    (tmp_path / 'tool.py').write_text(TOOL)
    started = []

    def start(how: str) -> subprocess.Popen:
        env = {**os.environ, 'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': '1'}
        command = [sys.executable, LAUNCH, '2', 'tool.py', how]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, cwd=tmp_path, env=env, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
    for pid in ranks(tmp_path):
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def ranks(folder: Path) -> list[int]:
    return [int(text) for path in folder.glob('pid_*') if (text := path.read_text())]


def is_alive(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] != 'Z'
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='the death of a parent is told on Linux only')
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_a_launcher_that_is_killed_takes_its_ranks_with_it(launch, tmp_path, number):
    process = launch('run')
    deadline = time.monotonic() + 120
    while len(ranks(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    pids = ranks(tmp_path)
    assert len(pids) == 2
    assert all(map(is_alive, pids))
    process.send_signal(number)
    process.wait(timeout=60)
    deadline = time.monotonic() + 10
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, pids))


@pytest.mark.slow
@pytest.mark.parametrize(
    ('how', 'last'), [('bug', 'ZeroDivisionError: the first error'), ('input', 'error: the first error')]
)
def test_the_last_line_is_the_first_error(launch, how, last):
    process = launch(how)
    _, err = process.communicate(timeout=150)
    assert process.returncode == (1 if how == 'bug' else 2)
    assert err.rstrip().splitlines()[-1].removeprefix('[rank1]: ') == last, err
    assert 'onnection' not in err
