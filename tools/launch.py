"""torchrun for `dist_train.sh` and `dist_test.sh`: a free port, as many threads as cores, one line per mistake.

python tools/launch.py PROCESSES SCRIPT [ARGUMENTS]; NNODES, NODE_RANK, MASTER_ADDR, PORT and OMP_NUM_THREADS are read
from the environment.
"""

import logging
import os
import socket
import sys
from typing import NoReturn

import torch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as torchrun


def fail(message: str) -> NoReturn:
    """End with one line and exit code 2."""
    print(f'error: {message}', file=sys.stderr)
    sys.exit(2)


def number(name: str, text: str, least: int) -> int:
    """`text` as a whole number of at least `least`."""
    if not text.isdigit() or int(text) < least:
        fail(f'{name} must be a whole number of at least {least}, not {text!r}')
    return int(text)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def choose_port(nodes: int, node_rank: int) -> int:
    """PORT if set and free; otherwise any free port, which only works where all processes are on this machine."""
    if wanted := os.environ.get('PORT'):
        port = number('PORT', wanted, 1)
        if node_rank == 0 and not is_free(port):
            fail(f'port {port} is taken; unset PORT to get a free one, or name another')
        return port
    if nodes > 1:
        return 29500  # every node must name the same one: torch's default
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def is_free(port: int) -> bool:
    """Return True if a server can listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free, as for torch's store
        try:
            probe.bind(('', port))
        except (OSError, OverflowError):
            return False
    return True


def main() -> None:
    """Start the processes and end with the exit code of the first that failed."""
    processes = number('the number of GPUs', sys.argv[1], 1)
    nodes = number('NNODES', os.environ.get('NNODES', '1'), 1)
    node_rank = number('NODE_RANK', os.environ.get('NODE_RANK', '0'), 0)
    if torch.cuda.is_available() and processes > torch.cuda.device_count():
        fail(f'{processes} GPUs asked for, {torch.cuda.device_count()} visible (nvidia-smi, CUDA_VISIBLE_DEVICES)')
    port = choose_port(nodes, node_rank)
    # torchrun's own default is one thread; torch's, all cores for each process, slows several processes down.
    os.environ.setdefault('OMP_NUM_THREADS', str(max(1, cores() // processes)))
    options = [f'--nnodes={nodes}', f'--node-rank={node_rank}', f'--nproc-per-node={processes}']
    options += [f'--master-addr={os.environ.get("MASTER_ADDR", "127.0.0.1")}', f'--master-port={port}']
    # The failing process says what went wrong; torchrun's log lines and traceback would bury it.
    logging.getLogger('torch.distributed.elastic').setLevel(logging.CRITICAL)
    try:
        torchrun([*options, *sys.argv[2:]])
    except SignalException as stop:  # Ctrl-C, or a cluster's SIGTERM; torchrun has ended the processes
        sys.exit(128 + stop.sigval)
    except ChildFailedError as error:
        rank, first = error.get_first_failure()
        if first.exitcode < 0:
            print(
                f'error: process {rank} was ended by signal {-first.exitcode} (9: often no memory left)',
                file=sys.stderr,
            )
        sys.exit(first.exitcode if first.exitcode > 0 else 1)


if __name__ == '__main__':
    main()
