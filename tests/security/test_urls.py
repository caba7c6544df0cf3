"""Checkpoints from a web server: read as safely as files, and a broken download is not kept."""

import http.server
import threading

import pytest
import torch
from mmengine.runner import CheckpointLoader

from mmsparseswin.checkpoints.fetching import local_file
from mmsparseswin.errors import InputError


@pytest.fixture
def server(made, tmp_path, monkeypatch):
    """Serve the made files on loopback; return the address. A name that begins with cut_ ends after half of it."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(made.folder))

        def do_GET(self):
            if 'cut_' not in self.path:
                super().do_GET()
                return
            data = (made.folder / self.path.lstrip('/').replace('cut_', '')).read_bytes()
            self.send_response(200)
            self.send_header('Content-Length', str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])

        def log_message(self, *_):
            pass

    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f'http://127.0.0.1:{serving.server_port}'
        serving.shutdown()
        thread.join()


def test_a_good_file_is_the_one_on_the_disk(server, routes, made):
    content = CheckpointLoader.load_checkpoint(f'{server}/run/epoch_1.pth', 'cpu', 'silent')
    expected = torch.load(made.checkpoint, weights_only=False)
    assert content.keys() == expected.keys()
    assert all(torch.equal(value, content['state_dict'][name]) for name, value in expected['state_dict'].items())


def test_hostile_files_run_no_code(server, routes, made):
    for path in made.hostile:
        if path.stem in ('config_with_code', 'its_weights'):  # data, which nobody runs
            continue
        with pytest.raises(InputError) as caught:
            CheckpointLoader.load_checkpoint(f'{server}/hostile/{path.name}', 'cpu', 'silent')
        assert not made.canary.exists(), path.stem
        assert path.name in str(caught.value)
        assert '\n' not in str(caught.value)


def test_a_download_that_was_cut_off_is_not_kept(server, tmp_path):
    with pytest.raises(InputError, match='cut off'):
        local_file(f'{server}/run/cut_epoch_1.pth')
    assert not list((tmp_path / 'torch').rglob('*.pth'))
    with pytest.raises(InputError, match='404'):
        local_file(f'{server}/run/none.pth')


def test_commands_read_from_a_server(server, tools, made, tmp_path):
    start, here = ['--no-validate', '--cfg-options'], dict(cwd=tmp_path, env={'TORCH_HOME': str(tmp_path / 'torch')})
    result = tools.run('train.py', made.detector, *start, f'load_from={server}/run/epoch_1.pth', **here)
    assert result.code == 0, result.err
    assert 'tensors matched, 0 missing' in result.out + result.err
    result = tools.run('test.py', made.detector, f'{server}/hostile/eval.pth', **here)
    assert not made.canary.exists()
    assert result.code == 2
    assert len(result.errors) == 1
    assert 'Traceback' not in result.out + result.err
