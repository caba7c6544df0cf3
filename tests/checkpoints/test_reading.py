import collections
import functools
import http.server
import os
import pickle
import sys
import threading
import types

import numpy as np
import pytest
import safetensors.torch
import torch
from mmengine.hooks import EMAHook
from torch import nn

from mmsparseswin.checkpoints import read_checkpoint
from mmsparseswin.checkpoints.averaged import averaged_key, last_key
from mmsparseswin.errors import InputError

WEIGHTS = {'a.weight': torch.arange(6.0).view(2, 3), 'a.bias': torch.ones(2, dtype=torch.float16)}


def assert_weights(tensors):
    assert set(tensors) == set(WEIGHTS)
    for name, expected in WEIGHTS.items():
        assert tensors[name].dtype == expected.dtype
        assert torch.equal(tensors[name], expected)


@pytest.mark.parametrize('zipped', [True, False])
def test_torch_files_of_either_format(tmp_path, zipped):
    torch.save(WEIGHTS, tmp_path / 'w.pth', _use_new_zipfile_serialization=zipped)
    assert_weights(read_checkpoint(tmp_path / 'w.pth').tensors)


def test_safetensors(tmp_path):
    safetensors.torch.save_file(WEIGHTS, tmp_path / 'w.safetensors')
    assert_weights(read_checkpoint(tmp_path / 'w.safetensors').tensors)


@pytest.mark.parametrize('key', ['state_dict', 'model', 'model_state', 'teacher'])
def test_wrappings_are_taken_off_and_noted(key):
    content = read_checkpoint({key: {f'module.{k}': v for k, v in WEIGHTS.items()}, 'optimizer': {}, 'epoch': 3})
    assert_weights(content.tensors)
    assert f'{key!r}; left in the file: epoch, optimizer' in content.notes[0]


def test_averaged_weights_only_when_asked_for():
    both = {'state_dict': {'a': torch.zeros(1)}, 'state_dict_ema': {'module.a': torch.ones(1)}}
    assert read_checkpoint(both).tensors['a'] == 0
    assert read_checkpoint(both, ema=True).tensors['a'] == 1
    with pytest.raises(InputError, match='no averaged weights'):
        read_checkpoint(WEIGHTS, ema=True)


@pytest.mark.parametrize('ema', [False, True])
def test_averaged_weights_of_mmengine_are_taken_in_any_case(ema):
    runner = types.SimpleNamespace(model=nn.Linear(1, 1, bias=False))
    hook = EMAHook(momentum=0.5)
    hook.before_run(runner)
    for value in (0.0, 8.0):  # the average starts from the first and is then 4
        nn.init.constant_(runner.model.weight, value)
        hook.ema_model.update_parameters(runner.model)
    checkpoint = {'meta': {}, 'state_dict': {k: v.clone() for k, v in runner.model.state_dict().items()}}
    hook.before_save_checkpoint(runner, checkpoint)
    content = read_checkpoint(checkpoint, ema)
    assert {name: tensor.item() for name, tensor in content.tensors.items()} == {'weight': 4}
    assert content.notes == ["averaged weights taken from 'state_dict'; left in the file: ema_state_dict, meta"]
    assert checkpoint[averaged_key(checkpoint)]['weight'] == 4
    assert checkpoint[last_key(checkpoint)]['module.weight'] == 8


def test_a_name_with_and_without_a_wrapper_is_an_error():
    with pytest.raises(InputError, match='names a twice'):
        read_checkpoint({'module.a': torch.zeros(1), 'a': torch.zeros(1)})


class Marks:
    """Pickles as a call that leaves a file behind."""

    def __init__(self, function, argument):
        self.call = function, (argument,)

    def __reduce__(self):
        return self.call


def mark(path):
    open(path, 'w').close()


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('function', [os.system, eval, exec, mark, functools.partial])
def test_a_pickle_that_would_run_code_is_refused(tmp_path, function, zipped):
    ran = tmp_path / 'ran'
    argument = {os.system: f'touch {ran}', mark: str(ran), functools.partial: print}.get(
        function, f'open({str(ran)!r}, "w")'
    )
    content = {'state_dict': WEIGHTS, 'meta': Marks(function, argument)}
    torch.save(content, tmp_path / 'w.pth', _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match='would run code'):
        read_checkpoint(tmp_path / 'w.pth')
    assert not ran.exists()


@pytest.mark.parametrize('protocol', [0, 2, 4, 5])
def test_a_plain_pickle_that_would_run_code_is_refused(tmp_path, protocol):
    ran = tmp_path / 'ran'
    (tmp_path / 'w.pth').write_bytes(pickle.dumps(Marks(os.system, f'touch {ran}'), protocol))
    with pytest.raises(InputError, match=r'w\.pth'):
        read_checkpoint(tmp_path / 'w.pth')
    assert not ran.exists()


@pytest.fixture
def yacs_node():
    """yacs' CfgNode as a class that is gone again when the file is read."""
    module = types.ModuleType('yacs.config')
    cls = type('CfgNode', (dict,), {'__module__': 'yacs.config'})
    module.CfgNode = cls
    sys.modules |= {'yacs': types.ModuleType('yacs'), 'yacs.config': module}

    def make():
        node = cls(DATA=cls(SIZE=224))
        node.__dict__['__immutable__'] = True
        return node

    yield make
    for name in ('yacs', 'yacs.config'):
        sys.modules.pop(name, None)


@pytest.mark.parametrize('zipped', [True, False])
def test_yacs_config_is_left_unread_and_never_imported(tmp_path, yacs_node, zipped):
    torch.save({'model': WEIGHTS, 'config': yacs_node()}, tmp_path / 'w.pth', _use_new_zipfile_serialization=zipped)
    for name in ('yacs', 'yacs.config'):
        del sys.modules[name]
    content = read_checkpoint(tmp_path / 'w.pth')
    assert_weights(content.tensors)
    assert 'objects left unread: yacs.config.CfgNode' in content.notes
    assert 'yacs.config' not in sys.modules


@pytest.mark.parametrize('zipped', [True, False])
def test_history_buffers_and_numpy_values_are_left_unread(tmp_path, zipped):
    from mmengine.config import Config
    from mmengine.logging import HistoryBuffer

    history = HistoryBuffer()
    history.update(np.float64(0.5))
    others = {
        'history': history,
        'array': np.arange(4),
        'cfg': Config({'model': {'type': 'Swin'}})._cfg_dict,
        'counts': collections.defaultdict(int, a=1),
    }
    torch.save({'state_dict': WEIGHTS, 'meta': others}, tmp_path / 'w.pth', _use_new_zipfile_serialization=zipped)
    content = read_checkpoint(tmp_path / 'w.pth')
    assert_weights(content.tensors)
    assert 'HistoryBuffer' in content.notes[0]


def test_stand_ins_do_not_outlive_the_reading(tmp_path, yacs_node):
    before = set(torch.serialization.get_safe_globals())
    torch.save({'model': WEIGHTS, 'config': yacs_node()}, tmp_path / 'w.pth')
    read_checkpoint(tmp_path / 'w.pth')
    assert set(torch.serialization.get_safe_globals()) == before


def test_a_pickled_module_is_read_as_its_state_dict(tmp_path):
    module = torch.nn.Linear(2, 2)
    torch.save(module, tmp_path / 'w.pth')
    found = read_checkpoint(tmp_path / 'w.pth').tensors
    assert found.keys() == module.state_dict().keys()
    assert all(torch.equal(tensor, found[name]) for name, tensor in module.state_dict().items())


def broken(path, kind):
    torch.save(WEIGHTS, path)
    whole = path.read_bytes()
    contents = {
        'empty': b'',
        'cut off': whole[: len(whole) // 2],
        'a web page': b'\n<!DOCTYPE html><html><body>Not found</body></html>',
        'a git-lfs pointer': b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n',
        'text': b'hello, this is not a checkpoint',
        'noise after a pickle mark': b'\x80\x02' + bytes(range(256)),
        'safetensors cut off': safetensors.torch.save(WEIGHTS)[:40],
        'no tensors': pickle.dumps({}, 2),
    }
    path.write_bytes(contents[kind])


@pytest.mark.parametrize(
    'kind',
    [
        'empty',
        'cut off',
        'a web page',
        'a git-lfs pointer',
        'text',
        'noise after a pickle mark',
        'safetensors cut off',
        'no tensors',
    ],
)
def test_a_broken_file_is_one_error_that_names_it(tmp_path, kind):
    broken(tmp_path / 'w.pth', kind)
    with pytest.raises(InputError, match=r'w\.pth') as error:
        read_checkpoint(tmp_path / 'w.pth')
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('where', ['nothing.pth', 'torchvision://swin_t', ''])
def test_a_place_without_a_file_is_an_error(tmp_path, where):
    with pytest.raises(InputError):
        read_checkpoint(where if '://' in where else tmp_path / where)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A local web server over a folder, and an empty cache."""
    folder = tmp_path / 'served'
    folder.mkdir()
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('no_proxy', '*')
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield folder, f'http://127.0.0.1:{running.server_port}'
        running.shutdown()


def test_url_is_downloaded_once(server):
    folder, url = server
    torch.save(WEIGHTS, folder / 'w.pth')
    assert_weights(read_checkpoint(f'{url}/w.pth').tensors)
    (folder / 'w.pth').unlink()
    assert_weights(read_checkpoint(f'{url}/w.pth?download=1').tensors)


def test_urls_that_end_alike_are_different_files(server):
    folder, url = server
    for place in ('one', 'two'):
        (folder / place).mkdir()
        torch.save({'a': torch.tensor(float(len(place) + (place == 'two')))}, folder / place / 'model.pth')
    assert read_checkpoint(f'{url}/one/model.pth').tensors['a'] == 3
    assert read_checkpoint(f'{url}/two/model.pth').tensors['a'] == 4


@pytest.mark.parametrize('problem', ['missing', 'web page', 'wrong hash'])
def test_url_without_a_checkpoint_is_an_error_each_time(server, problem):
    folder, url = server
    name = {'wrong hash': 'w-0123abcd.pth'}.get(problem, 'w.pth')
    if problem == 'web page':
        (folder / name).write_text('<html>Please log in</html>')
    if problem == 'wrong hash':
        torch.save(WEIGHTS, folder / name)
    for _ in range(2):
        with pytest.raises(InputError, match='w'):
            read_checkpoint(f'{url}/{name}')
    assert problem != 'web page' or not list(folder.parent.glob('cache/**/*.pth'))
