"""A run that was stopped and resumed is the run that was not, with randomness taken out."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/quickstart/cascade_sparseswin_smoke.py'


def losses(run: Path) -> dict[int, float]:
    """Loss by iteration, over all starts of a run."""
    found = {}
    for scalars in sorted(run.glob('*/vis_data/scalars.json')):
        for line in scalars.read_text().splitlines():
            record = json.loads(line)
            if 'loss' in record:
                found[record['step']] = record['loss']
    return found


@pytest.mark.parametrize('backbone', ['sparseswin', 'stvitr'])  # the second has batch norm, whose statistics go on, too
def test_stopped_at_an_epochs_end_and_resumed_gives_the_same_losses(tools, shapes, tmp_path, backbone):
    config = CONFIG.with_name(f'cascade_{backbone}_smoke.py')
    options = ['--no-validate', '--cfg-options', f'data_root={shapes}']
    whole = tools.run('train.py', config, '--work-dir', 'whole', *options, 'train_cfg.max_epochs=2', cwd=tmp_path)
    first = tools.run('train.py', config, '--work-dir', 'parts', *options, 'train_cfg.max_epochs=1', cwd=tmp_path)
    second = tools.run(
        'train.py', config, '--work-dir', 'parts', '--resume', *options, 'train_cfg.max_epochs=2', cwd=tmp_path
    )
    assert (whole.code, first.code, second.code) == (0, 0, 0), whole.err + first.err + second.err
    expected, got = losses(tmp_path / 'whole'), losses(tmp_path / 'parts')
    assert sorted(expected) == sorted(got) == list(range(1, 9))
    assert got == expected


@pytest.mark.slow
def test_killed_in_the_middle_of_an_epoch_goes_on_from_the_last_checkpoint(shapes, tmp_path):
    command = [sys.executable, str(ROOT / 'tools/train.py'), str(CONFIG), '--work-dir', 'run', '--no-validate']
    options = ['--cfg-options', f'data_root={shapes}', 'train_cfg.max_epochs=30']
    env = {**os.environ, 'OMP_NUM_THREADS': '1'}
    process = subprocess.Popen([*command, *options], cwd=tmp_path, env=env, stdout=subprocess.DEVNULL)
    run = tmp_path / 'run'
    deadline = time.monotonic() + 300
    # 4 iterations an epoch: wait for the first of an epoch after a checkpoint.
    while not any(step > 4 and step % 4 == 1 for step in losses(run)) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    saved = int((run / 'last_checkpoint').read_text().rsplit('epoch_', 1)[1].split('.')[0])
    reached = max(losses(run))
    assert reached > 4

    options[-1] = f'train_cfg.max_epochs={saved + 1}'
    resumed = subprocess.run(
        [*command, '--resume', *options], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert f'resumed epoch: {saved}, iter: {4 * saved}' in resumed.stdout + resumed.stderr
    assert max(losses(run)) == max(reached, 4 * (saved + 1))
    assert (run / f'epoch_{saved + 1}.pth').exists()
