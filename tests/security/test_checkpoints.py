"""No file runs code on any route; each bad one is refused in one line, quickly and in little memory."""

import time
from pathlib import Path

import damaged
import pytest
import torch
from mmengine.runner import CheckpointLoader, Runner

from mmsparseswin.engine.checkpoint_guard import CheckpointGuardHook
from mmsparseswin.engine.resume_check import previous_gpus
from mmsparseswin.engine.safe_reader import CONFIG_TEXT
from mmsparseswin.errors import InputError

ROUTES = [
    'Runner.resume (train.py --resume)',
    'Runner.load_checkpoint (load_from, test.py)',
    'load_checkpoint of mmengine',
    'CheckpointLoader (predict.py, profile_job.py)',
    'init_cfg of a model',
    'init_cfg of a part',
    'DetInferencer',
    'ImageClassificationInferencer',
    'FeatureExtractor (extract_features.py)',
    'convert.py',
    '--pretrained',
]
ONLY_DATA = {'config_with_code', 'its_weights'}  # a config is text as long as nobody runs it
# What only matters to who reads more than the weights.
NOT_FOR_CONVERT = ('meta', 'dataset_meta', 'classes', 'state_dict_', 'text_as', 'number_as', 'a_module')


def peak(start_anew: bool = False) -> int:
    """Bytes of the largest memory so far, since the last call that started anew."""
    if start_anew:
        Path('/proc/self/clear_refs').write_text('5')
    line = next(line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM'))
    return int(line.split()[1]) * 1024


def refusal(route, path):
    try:
        route(path)
    except InputError as error:
        return error
    return None


@pytest.mark.parametrize('route', ROUTES)
def test_hostile_files_run_no_code(routes, made, route):
    assert set(routes) == set(ROUTES)
    assert len(made.hostile) >= 60
    for path in made.hostile:
        error = refusal(routes[route], path)
        assert not made.canary.exists(), f'{path.stem} ran code'
        assert '\n' not in str(error)
        if path.stem in ONLY_DATA:
            continue
        assert error is not None, f'{path.stem} was loaded'
        assert path.name in str(error), str(error)


@pytest.mark.parametrize('route', ROUTES)
def test_damaged_files_are_one_line(routes, made, route):
    for path in made.damaged:
        weights_only = route in ('convert.py', '--pretrained')
        start, before = time.perf_counter(), peak(start_anew=True)
        error = refusal(routes[route], path)
        assert time.perf_counter() - start < 10, path.stem
        assert peak() - before < 2**30, path.stem
        if error is None:
            assert weights_only, f'{path.stem} was loaded'
            assert path.stem.startswith(NOT_FOR_CONVERT), f'{path.stem} was loaded'
            continue
        assert '\n' not in str(error)
        if not (weights_only and path.stem.startswith(NOT_FOR_CONVERT)):
            assert damaged.WORDS[path.stem] in str(error), (path.stem, str(error))


def test_nan_weights_are_counted(routes, made):
    path = next(path for path in made.damaged if path.stem == 'nan')
    state = torch.load(made.checkpoint, weights_only=False)['state_dict']
    number = sum(value.is_floating_point() for value in state.values())
    with pytest.raises(InputError, match=f'{number} of {number} tensors are not finite'):
        routes['load_checkpoint of mmengine'](path)


def test_training_states_of_other_types_cannot_be_resumed(routes, made):
    from mmsparseswin.cli import user_message

    for path in made.resume:
        try:
            routes['Runner.resume (train.py --resume)'](path)
            message = None
        except Exception as error:
            message = user_message(error)
        assert message, f'{path.stem} was resumed'
        assert damaged.WORDS[path.stem] in message, (path.stem, message)
        assert '\n' not in message


def test_whole_checkpoints_load_on_every_route(routes, made):
    for route in [*ROUTES[:4], 'DetInferencer']:
        routes[route](made.checkpoint)
    legacy = made.folder / 'legacy.pth'
    content = CheckpointLoader.load_checkpoint(str(made.checkpoint), 'cpu', 'silent')
    torch.save(content, legacy, _use_new_zipfile_serialization=False)
    routes[ROUTES[0]](legacy)


def test_what_is_read_is_what_was_written(routes, made):
    def compare(one, other, name=''):
        assert type(one) is type(other), name
        if isinstance(one, dict):
            assert list(one) == list(other), name
            assert getattr(one, '_metadata', None) == getattr(other, '_metadata', None)
            for key in one:
                compare(one[key], other[key], f'{name}.{key}')
        elif isinstance(one, (list, tuple)):
            assert len(one) == len(other)
            for index, pair in enumerate(zip(one, other, strict=True)):
                compare(*pair, f'{name}[{index}]')
        elif isinstance(one, torch.Tensor):
            assert one.dtype == other.dtype
            assert torch.equal(one, other), name
        elif hasattr(one, '_log_history'):
            assert one.data[0].tolist() == other.data[0].tolist()
            assert one.data[1].tolist() == other.data[1].tolist()
            assert one.max_length == other.max_length
        else:
            assert one == other, name

    compare(
        CheckpointLoader.load_checkpoint(str(made.checkpoint), 'cpu', 'silent'),
        torch.load(made.checkpoint, weights_only=False),
    )


def test_tensors_own_their_memory(routes, made, tmp_path):
    path = tmp_path / 'w.pth'
    path.write_bytes(made.checkpoint.read_bytes())
    content = CheckpointLoader.load_checkpoint(str(path), 'cpu', 'silent')
    expected = {name: value.clone() for name, value in content['state_dict'].items()}
    path.write_bytes(b'')  # a mapped file would end the process here (SIGBUS)
    assert all(torch.equal(value, expected[name]) for name, value in content['state_dict'].items())


def test_the_config_in_a_checkpoint_is_text(routes, made):
    path = next(path for path in made.hostile if path.stem == 'config_with_code')
    content = CheckpointLoader.load_checkpoint(str(path), 'cpu', 'silent')
    assert 'config' not in content['meta']
    assert previous_gpus(content['meta'][CONFIG_TEXT]) == 8


@pytest.mark.parametrize(
    ('text', 'gpus'),
    [
        ('gpu_ids = [0, 1]', 2),
        ('gpu_ids = range(0, 4)', 4),
        ('gpu_ids = range(3)', 3),
        ('x = 1', None),
        ('gpu_ids = __import__("os").getcwd()', None),
        ('not python', None),
        (3, None),
        ('(' * 5000, None),
    ],
)
def test_the_number_of_gpus_is_read_as_a_literal(text, gpus):
    assert previous_gpus(text) == gpus


def test_a_best_checkpoint_elsewhere_is_never_deleted(routes, made, tmp_path):
    precious = tmp_path / 'best_thesis.pth'
    precious.touch()
    content = torch.load(made.checkpoint, weights_only=False)
    content['message_hub']['runtime_info'] |= {'best_ckpt': str(precious), 'best_ckpt_x': str(tmp_path)}
    content['message_hub']['resumed_keys'] |= {'best_ckpt': True, 'best_ckpt_x': True}
    torch.save(content, tmp_path / 'w.pth')
    routes[ROUTES[0]](tmp_path / 'w.pth')
    hub = routes[ROUTES[0]].__self__.runner.message_hub
    assert hub.get_info('best_ckpt') is None
    assert hub.get_info('best_ckpt_x') is None


def test_the_hook_installs_the_reader_unless_the_file_is_trusted():
    from mmengine.runner.checkpoint import load_from_local

    CheckpointLoader.register_scheme('', load_from_local, force=True)
    CheckpointGuardHook(trust=True).before_run(runner=Runner.__new__(Runner))
    assert CheckpointLoader._get_checkpoint_loader('x.pth') is load_from_local
    CheckpointGuardHook().before_run(runner=Runner.__new__(Runner))
    assert CheckpointLoader._get_checkpoint_loader('x.pth').__module__ == 'mmsparseswin.engine.safe_reader'
