"""A real Slurm cluster of one node: tools/slurm_train.sh trains on CPUs, is pre-empted, and goes on."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name('slurm_cluster.sh')
PROGRAMS = ('munged', 'slurmctld', 'slurmd', 'srun', 'sbatch', 'scontrol')
EPOCHS = 40

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason='slurmd starts jobs as root'),
    pytest.mark.skipif(
        not all(map(shutil.which, PROGRAMS)), reason='apt-get install slurmctld slurmd slurm-client munge'
    ),
]


@pytest.fixture(scope='module')
def cluster(tmp_path_factory) -> Iterator[dict[str, str]]:
    """Start a cluster and return the environment of its users."""
    folder = tmp_path_factory.mktemp('slurm')
    try:
        subprocess.run([SCRIPT, 'start', folder], check=True, timeout=120)
        yield {**os.environ, 'SLURM_CONF': str(folder / 'slurm.conf'), 'GPUS': '0', 'CUDA_VISIBLE_DEVICES': ''}
    finally:
        subprocess.run([SCRIPT, 'stop', folder], check=True, timeout=60)


@pytest.fixture
def config(shapes, tmp_path) -> Path:
    """Write a detector that trains for some minutes and keeps each epoch."""
    path = tmp_path / 'long.py'
    path.write_text(
        f'_base_ = {str(ROOT / "configs/quickstart/cascade_sparseswin_smoke.py")!r}\n'
        f'train_dataloader = dict(dataset=dict(data_root={str(shapes)!r}))\n'
        f'train_cfg = dict(max_epochs={EPOCHS})\n'
        'val_cfg = val_dataloader = val_evaluator = None\n'
        'default_hooks = dict(checkpoint=dict(max_keep_ckpts=-1))\n'
    )
    return path


def wait_until(ready: Callable[[], object], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f'not within {seconds} s'
        time.sleep(0.5)


def ask_slurm(cluster: dict[str, str], *command: object) -> str:
    return subprocess.run([*map(str, command)], env=cluster, capture_output=True, text=True, check=True).stdout


def test_srun_trains_two_tasks_on_cpus(cluster, config, tmp_path):
    done = subprocess.run(
        [ROOT / 'tools/slurm_train.sh', 'cpu', 'short', config, tmp_path / 'run', '--epochs', '1'],
        env={**cluster, 'TASKS': '2'},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert 'processes: 2' in done.stdout
    assert 'Epoch(train) [1][2/2]' in done.stdout  # 8 pictures, 2 processes of 2
    assert (tmp_path / 'run' / 'epoch_1.pth').is_file()


def test_a_mistake_is_one_line_and_a_missing_number_of_tasks_too(cluster, tmp_path):
    command = [ROOT / 'tools/slurm_train.sh', 'cpu', 'wrong', 'none.py', tmp_path / 'run']
    wrong = subprocess.run(command, env={**cluster, 'TASKS': '2'}, capture_output=True, text=True, timeout=120)
    assert wrong.returncode != 0
    assert 'error: no config at none.py' in wrong.stderr
    assert 'Traceback' not in wrong.stderr
    untold = subprocess.run(command, env=cluster, capture_output=True, text=True, timeout=120)
    assert untold.returncode != 0
    assert 'GPUS=0 needs TASKS' in untold.stderr


def test_a_preempted_job_is_requeued_and_resumes(cluster, config, tmp_path):
    run, log = tmp_path / 'run', tmp_path / 'log'
    train = f'TASKS=2 {ROOT}/tools/slurm_train.sh cpu long {config} {run} --resume'
    options = ['--requeue', '--open-mode=append', f'--output={log}', '-p', 'cpu', '-n', '2', '--parsable']
    job = ask_slurm(cluster, 'sbatch', *options, '--wrap', train).strip()

    def ask() -> dict[str, str]:
        return dict(re.findall(r'(\w+)=(\S*)', ask_slurm(cluster, 'scontrol', 'show', 'job', job)))

    try:
        wait_until((run / 'epoch_2.pth').is_file)
        ask_slurm(cluster, 'scontrol', 'requeue', job)
        wait_until(lambda: ask()['Restarts'] == '1' and ask()['JobState'] == 'RUNNING')
        before = len(list(run.glob('epoch_*.pth')))
        assert 2 <= before < EPOCHS, 'the job was over before it was pre-empted'
        wait_until(lambda: ask()['JobState'] not in ('RUNNING', 'COMPLETING'))
        text = log.read_text()
        assert ask()['JobState'] == 'COMPLETED', text
    finally:
        subprocess.run(['scancel', job], env=cluster, check=False)
    epochs = [int(number) for number in re.findall(r'Epoch\(train\) +\[(\d+)\]\[2/2\]', text)]
    first, second = text.count('nothing to resume in'), len(re.findall('resumed epoch: ', text))
    assert (first, second) == (1, 1), text
    # No epoch is lost, and no more than the interrupted one is trained twice.
    assert set(epochs) == set(range(1, EPOCHS + 1))
    assert len(epochs) <= EPOCHS + 1
    saved = torch.load(run / f'epoch_{EPOCHS}.pth', weights_only=False)
    assert (saved['meta']['epoch'], saved['meta']['iter']) == (EPOCHS, 2 * EPOCHS)
