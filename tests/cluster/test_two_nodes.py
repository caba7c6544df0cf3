"""Two launchers on one machine play two nodes: they train together, and the death of one ends the other clearly."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


class Node:
    """A launcher and the processes below it, which can be killed as a machine dies: all at once."""

    def __init__(self, rank: int, port: int, command: list[object], folder: Path) -> None:
        self.log = folder / f'node{rank}.log'
        nodes = {'NNODES': '2', 'NODE_RANK': str(rank), 'MASTER_ADDR': '127.0.0.1', 'PORT': str(port)}
        with self.log.open('w') as log:
            self.process = subprocess.Popen(
                [ROOT / 'tools/dist_train.sh', *map(str, command)],
                env={**os.environ, **nodes, 'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': '1'},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def text(self) -> str:
        return self.log.read_text()

    def members(self) -> list[int]:
        """Return the launcher and all processes below it; torchrun puts each into a session of its own."""
        shown = subprocess.run(['ps', '-eo', 'pid=,ppid='], capture_output=True, text=True, check=True).stdout
        parents = {int(pid): int(parent) for pid, parent in map(str.split, shown.splitlines())}
        found = [self.process.pid]
        for pid in found:  # grows as it runs
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def kill(self) -> list[int]:
        """Kill all of them and return their ids."""
        members = self.members()
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=10)
        return members


@pytest.fixture
def nodes(shapes, tmp_path) -> Iterator[list[Node]]:
    """Start two nodes with one process each; they train for longer than the test lasts unless told otherwise."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    config = tmp_path / 'two_nodes.py'
    config.write_text(
        f'_base_ = {str(ROOT / "configs/quickstart/cascade_sparseswin_smoke.py")!r}\n'
        f'train_dataloader = dict(dataset=dict(data_root={str(shapes)!r}))\n'
        'train_cfg = dict(max_epochs=500)\n'
        'val_cfg = val_dataloader = val_evaluator = None\n'
    )
    started: list[Node] = []

    def start(*options: object) -> list[Node]:
        for rank in (0, 1):
            command = [config, 1, '--work-dir', tmp_path / f'run{rank}', *options]
            started.append(Node(rank, port, command, tmp_path))
        return started

    yield start
    for node in started:
        if node.process.poll() is None:
            node.kill()


def wait_for_epoch(nodes: list[Node], epoch: int) -> None:
    end = time.monotonic() + 240
    while any(f'Epoch(train) [{epoch}][2/2]' not in re.sub(' +', ' ', node.text) for node in nodes[:1]):
        assert all(node.process.poll() is None for node in nodes), [node.text for node in nodes]
        assert time.monotonic() < end, nodes[0].text
        time.sleep(0.5)


def test_two_nodes_train_as_one_run(nodes, tmp_path):
    first, second = nodes('--epochs', 2)
    assert first.process.wait(timeout=300) == 0, first.text
    assert second.process.wait(timeout=60) == 0, second.text
    assert 'processes: 2' in first.text
    assert 'Epoch(train) [2][2/2]' in first.text  # 8 pictures, 2 nodes of 1 process with batches of 2
    assert (tmp_path / 'run0' / 'epoch_2.pth').is_file()
    assert not (tmp_path / 'run1' / 'epoch_2.pth').exists()  # the first node saves for all


@pytest.mark.parametrize('dying', [1, 0], ids=['second', 'first'])
def test_the_death_of_a_node_ends_the_other_within_a_minute(nodes, tmp_path, dying):
    pair = nodes()
    wait_for_epoch(pair, 3)
    victim, survivor = pair[dying], pair[1 - dying]
    survivors, start = survivor.members(), time.monotonic()
    assert len(victim.kill()) >= 2  # the launcher and its process
    code = survivor.process.wait(timeout=60)
    print(f'node {1 - dying} ended with {code} after {time.monotonic() - start:.1f} s')
    assert code not in (0, None)
    last = survivor.text.rstrip().splitlines()[-1]
    assert last.startswith('error: '), survivor.text[-3000:]
    assert not any(Path(f'/proc/{pid}').exists() for pid in survivors)
    assert (tmp_path / 'run0' / 'last_checkpoint').read_text().endswith('.pth')
