"""The commands themselves: no code runs, one error line, no traceback, exit code 2."""

import pytest
import torch


def commands(made, path) -> dict[str, tuple]:
    image = made.folder / 'coco/images/000.jpg'
    start = ['--no-validate', '--cfg-options']
    return {
        'test': ('test.py', made.detector, path),
        'predict': ('predict.py', made.detector, path, image),
        'resume': ('train.py', made.detector, '--no-validate', '--resume', path),
        'load_from': ('train.py', made.detector, *start, f'load_from={path}'),
        'init_cfg of a model': (
            'train.py',
            made.detector,
            *start,
            'model.init_cfg.type=Pretrained',
            f'model.init_cfg.checkpoint={path}',
        ),
        'init_cfg of a part': (
            'train.py',
            made.detector,
            *start,
            'model.backbone.init_cfg.type=Pretrained',
            f'model.backbone.init_cfg.checkpoint={path}',
        ),
        'features': ('analysis_tools/extract_features.py', made.classifier, path, image),
        'profile': ('analysis_tools/profile_job.py', made.detector, '--checkpoint', path, '--test'),
        'convert': ('model_converters/convert.py', path, 'out.pth'),
    }


def run(tools, made, tmp_path, command, path):
    result = tools.run(*commands(made, path)[command], cwd=tmp_path)
    assert not made.canary.exists(), f'{path.stem} ran code by {command}'
    assert 'Traceback' not in result.out + result.err, result.err
    return result


def file_of(files, stem):
    return next(path for path in files if path.stem == stem)


def check(tools, made, tmp_path, command, path):
    result = run(tools, made, tmp_path, command, path)
    if path.stem not in ('config_with_code', 'its_weights'):  # data, which may well be loaded
        assert result.code == 2, result.out + result.err
        assert len(result.errors) == 1, result.err


@pytest.mark.parametrize(
    ('command', 'stem'),
    [('test', 'os-system'), ('resume', 'config_with_code'), ('init_cfg of a model', 'os-system'), ('predict', 'nan')],
)
def test_a_command_refuses(tools, made, tmp_path, command, stem):
    check(tools, made, tmp_path, command, file_of(made.hostile + made.damaged, stem))


def test_a_trusted_file_runs_its_code(tools, made, tmp_path):
    path = file_of(made.hostile, 'eval')
    result = tools.run('test.py', made.detector, path, '--trust-checkpoint', cwd=tmp_path)
    ran = made.canary.exists()
    made.canary.unlink(missing_ok=True)
    assert ran
    assert result.code == 0, result.err
    assert '--trust-checkpoint: code in the checkpoint runs with your rights' in result.out + result.err


def test_resuming_a_checkpoint_that_names_a_config_runs_no_line_of_it(tools, made, tmp_path):
    content = torch.load(made.checkpoint, weights_only=False)
    content['meta']['config'] = f'gpu_ids = range(0, 8)\nopen({str(made.canary)!r}, "w").close()'
    torch.save(content, tmp_path / 'w.pth')
    options = ['--cfg-options', 'train_cfg.max_epochs=2']
    result = tools.run('train.py', made.detector, '--no-validate', '--resume', 'w.pth', *options, cwd=tmp_path)
    assert not made.canary.exists()
    assert result.code == 0, result.err
    assert 'the checkpoint is of a run on 8 GPUs, this one has 1' in result.out + result.err


def test_an_error_of_mmengine_keeps_its_traceback_in_the_log_file(tools, made, tmp_path):
    """What looks like a wrong checkpoint may be a bug: the line names the file that tells where it happened."""
    path = next(path for path in made.resume if path.stem == 'optimizer_fewer_groups')
    result = tools.run('train.py', made.detector, '--no-validate', '--resume', path, '--work-dir', 'run', cwd=tmp_path)
    assert result.code == 2
    assert 'Traceback' not in result.out + result.err
    (log,) = (tmp_path / 'run').glob('*/*.log')
    assert result.errors[-1].endswith(f'(traceback: {log})')
    text = log.read_text()
    assert 'Traceback (most recent call last)' in text
    assert 'in resume' in text


COMMANDS = ['test', 'predict', 'resume', 'load_from', 'init_cfg of a model', 'init_cfg of a part']
COMMANDS += ['features', 'profile', 'convert']
SHARE = 2  # commands that each file is fed to; what reads it is fed every file by test_checkpoints.py


@pytest.mark.slow
@pytest.mark.timeout(3600)  # some thirty commands in each
@pytest.mark.parametrize('number', range(len(COMMANDS)), ids=COMMANDS)
def test_each_file_by_two_commands(tools, made, tmp_path, number):
    command = COMMANDS[number]
    files = [path for index, path in enumerate(made.hostile + made.damaged) if (number - index) % len(COMMANDS) < SHARE]
    assert len(files) > 20
    for path in files:
        if command == 'convert' and path.stem.startswith(('its_weights', 'meta', 'dataset_meta', 'classes')):
            run(tools, made, tmp_path, command, path)
        else:
            check(tools, made, tmp_path, command, path)
