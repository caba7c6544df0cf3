"""A training that is told to stop loses nothing: resumed, it is the run that never stopped, random numbers included."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from test_resume import losses

ROOT = Path(__file__).parents[2]
# Everything that draws: order of the data, flips and photometric noise in the workers, dropped paths in the model.
RANDOM = """
model['backbone'] = dict(type='mmsparseswin.Swin', arch=dict(embed_dims=16, depths=[2, 2], num_heads=[2, 2]),
                         window_size=4, out_indices=(1,), drop_path_rate=0.5)
model['neck']['in_channels'] = [32]
pipeline[3:3] = [dict(type='RandomFlip', prob=0.5), dict(type='PhotoMetricDistortion')]
train_dataloader['batch_size'] = 1
train_dataloader['sampler']['shuffle'] = True
train_dataloader['num_workers'] = {workers}
train_dataloader['persistent_workers'] = {workers} > 0
train_dataloader['dataset']['filter_cfg'] = dict(filter_empty_gt=False)
val_dataloader['num_workers'] = {workers}
val_dataloader['persistent_workers'] = {workers} > 0
train_cfg['max_epochs'] = 3
env_cfg['mp_cfg']['mp_start_method'] = 'fork'
custom_hooks = [dict(type='EMAHook')]
visualizer['vis_backends'] = [dict(type='LocalVisBackend')]
"""
SIGNAL = """
custom_imports = dict(imports=['signal_at'])
custom_hooks.append(dict(type='SignalAt', {options}))
"""


def configs(folder: Path, options: str, workers: int = 0) -> tuple[Path, Path]:
    """Two configs that differ in the signal alone: without it, and with it."""
    data = tiny.draw_coco(folder / 'coco', images=6)
    paths = []
    for name, extra in (('plain', ''), ('stopped', SIGNAL.format(options=options))):
        (folder / name).mkdir()
        paths.append(tiny.write_detector(folder / name, data, RANDOM.format(workers=workers) + extra))
    return paths[0], paths[1]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=False)['state_dict']


# 6 iterations an epoch: in the middle of the second, at its end, at the very first one.
@pytest.mark.parametrize(
    ('iteration', 'name', 'code', 'workers'),
    [(9, 'SIGTERM', 143, 0), (9, 'SIGTERM', 143, 2), (12, 'SIGINT', 130, 0), (1, 'SIGTERM', 143, 0)],
)
def test_stopped_in_an_epoch_and_resumed_equals_the_unbroken_run(tools, tmp_path, iteration, name, code, workers):
    plain, stopped = configs(tmp_path, f'iteration={iteration}, name={name!r}', workers)
    whole = tools.run('train.py', plain, '--work-dir', 'whole', '--no-validate', cwd=tmp_path)
    first = tools.run('train.py', stopped, '--work-dir', 'parts', '--no-validate', cwd=tmp_path)
    assert (whole.code, first.code) == (0, code), whole.err + first.err
    saved = f'iter_{iteration}.pth'
    assert f'stopped by {name} after iteration {iteration}; saved {tmp_path}/parts/{saved}' in first.out + first.err
    assert (tmp_path / 'parts/last_checkpoint').read_text() == f'{tmp_path}/parts/{saved}'
    assert max(losses(tmp_path / 'parts')) == iteration
    second = tools.run('train.py', plain, '--work-dir', 'parts', '--no-validate', '--resume', cwd=tmp_path)
    assert second.code == 0, second.err
    expected, got = losses(tmp_path / 'whole'), losses(tmp_path / 'parts')
    assert sorted(expected) == list(range(1, 19))
    assert got == expected
    left, right = weights(tmp_path / 'whole/epoch_3.pth'), weights(tmp_path / 'parts/epoch_3.pth')
    assert all(torch.equal(left[key], right[key]) for key in left)


def test_randomness_is_on(tools, tmp_path):
    """The comparisons above would prove nothing if flips and dropped paths changed no loss."""
    plain, _ = configs(tmp_path, 'iteration=1')
    for seed in (0, 1):
        run = tools.run(
            'train.py', plain, '--work-dir', f'run{seed}', '--no-validate', '--cfg-options', 'train_cfg.max_epochs=1',
            f'train_dataloader.sampler.seed={seed}', 'train_dataloader.sampler.shuffle=False', cwd=tmp_path,
        )  # fmt: skip
        assert run.code == 0, run.err
    assert losses(tmp_path / 'run0') != losses(tmp_path / 'run1')


@pytest.mark.parametrize('workers', [0, 2])
def test_stopped_in_a_validation_begins_with_it(tools, tmp_path, workers):
    plain, stopped = configs(tmp_path, 'validation=1', workers)
    first = tools.run('train.py', stopped, '--work-dir', 'parts', cwd=tmp_path)
    assert first.code == 143, first.err
    assert (tmp_path / 'parts/last_checkpoint').read_text() == f'{tmp_path}/parts/iter_6.pth'
    kept, epoch = weights(tmp_path / 'parts/iter_6.pth'), weights(tmp_path / 'parts/epoch_1.pth')
    assert all(torch.equal(kept[key], epoch[key]) for key in epoch)  # not trained and averaged weights swapped
    second = tools.run('train.py', plain, '--work-dir', 'parts', '--resume', cwd=tmp_path)
    assert second.code == 0, second.err
    assert 'Epoch(val) [1][3/3]' in second.out + second.err


def test_resume_without_a_checkpoint_keeps_load_from(tools, tmp_path, detector):
    run = tools.run(
        'train.py', detector.config, '--work-dir', tmp_path / 'new', '--resume', '--no-validate', '--cfg-options',
        f'load_from={detector.checkpoint}', cwd=tmp_path,
    )  # fmt: skip
    assert run.code == 0, run.err
    assert f'Load checkpoint from {detector.checkpoint}' in run.out + run.err
    assert (tmp_path / 'new/epoch_1.pth').exists()


def test_full_disk_is_one_line_and_leaves_the_checkpoint_before(tools, tmp_path):
    plain, _ = configs(tmp_path, 'iteration=1')
    options = ['--work-dir', 'run', '--no-validate']
    first = tools.run('train.py', plain, *options, '--cfg-options', 'train_cfg.max_epochs=1', cwd=tmp_path)
    assert first.code == 0, first.err
    before = (tmp_path / 'run/epoch_1.pth').read_bytes()
    limit = len(before) // 2
    script = (
        f'import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));'
        'sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name="__main__")'
    )
    full = subprocess.run(
        [sys.executable, '-c', script, str(ROOT / 'tools/train.py'), str(plain), *options, '--resume'],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )  # fmt: skip
    assert full.returncode == 2, full.stderr
    assert full.stderr.splitlines()[-1].startswith('error: the disk is full')
    assert 'Traceback' not in full.stderr
    assert (tmp_path / 'run/epoch_1.pth').read_bytes() == before
    assert (tmp_path / 'run/last_checkpoint').read_text() == f'{tmp_path}/run/epoch_1.pth'
    assert not list((tmp_path / 'run').glob('*.partial'))
    again = tools.run('train.py', plain, *options, '--resume', cwd=tmp_path)
    assert again.code == 0, again.err


@pytest.mark.slow
def test_two_processes_stop_at_the_same_iteration_and_go_on_as_one_run(tmp_path):
    plain, stopped = configs(tmp_path, 'iteration=5, rank=1', workers=2)
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': f'{ROOT}:{ROOT / "tests/tools"}'}

    def train(config: Path, work_dir: str, *options: str) -> subprocess.CompletedProcess:
        command = [sys.executable, str(ROOT / 'tools/launch.py'), '2', str(ROOT / 'tools/train.py'), str(config)]
        command += ['--launcher', 'pytorch', '--work-dir', work_dir, '--no-validate', *options]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)

    whole, first = train(plain, 'whole'), train(stopped, 'parts')
    assert (whole.returncode, first.returncode) == (0, 143), whole.stderr + first.stderr
    assert (tmp_path / 'parts/last_checkpoint').read_text() == f'{tmp_path}/parts/iter_5.pth'
    second = train(plain, 'parts', '--resume')
    assert second.returncode == 0, second.stderr
    assert losses(tmp_path / 'parts') == losses(tmp_path / 'whole')
