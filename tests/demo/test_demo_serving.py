"""Test who may reach the page, and that it asks nobody else for anything."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from mmsparseswin.demo import serving
from mmsparseswin.errors import InputError

PASSWORD = 'correct horse'


@pytest.mark.parametrize('host', ['0.0.0.0', '192.168.0.7', '::', 'example.org'])
def test_no_page_beyond_this_machine_without_a_password(host):
    with pytest.raises(InputError, match='set the environment variable MMSPARSESWIN_DEMO_PASSWORD'):
        serving.check_address(host, None)
    with pytest.raises(InputError, match='has 5 characters'):
        serving.check_address(host, 'short')
    serving.check_address(host, PASSWORD)


def test_the_folder_is_private_and_goes():
    before = os.environ.get('GRADIO_TEMP_DIR')
    with serving.page_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert os.environ['GRADIO_TEMP_DIR'] == str(folder)
        (folder / 'upload').write_text('mine')
    assert not folder.exists()
    assert os.environ.get('GRADIO_TEMP_DIR') == before


def test_samples_are_the_test_data_or_a_folder(models, shapes, tmp_path):
    assert serving.find_samples(models, None) == []  # data/shapes_smoke is not here
    found = serving.find_samples(models, str(shapes / 'val'))
    assert [path.name for path in found] == sorted(path.name for path in (shapes / 'val').glob('*.jpg'))
    with pytest.raises(InputError, match='no image or folder'):
        serving.find_samples(models, str(tmp_path / 'none'))


@pytest.fixture(scope='module', params=[None, PASSWORD], ids=['open', 'password'])
def server(request, models, pictures):
    """Serve the page, and yield its address and password."""
    with serving.page_folder() as folder:
        blocks, address = serving.launch(models, pictures, folder, '127.0.0.1', None, request.param)
        try:
            yield address.rstrip('/'), request.param
        finally:
            blocks.close()


@pytest.fixture
def client(server):
    address, password = server
    with httpx.Client(base_url=address, trust_env=False) as client:
        if password:
            answer = client.post('/login', data=dict(username='demo', password=password))
            assert answer.status_code == 200
        yield client


@pytest.mark.parametrize('server', [PASSWORD], ids=['password'], indirect=True)
def test_without_the_password_nothing_is_served(server):
    address, _ = server
    with httpx.Client(base_url=address, trust_env=False) as client:
        assert client.post('/login', data=dict(username='demo', password='wrong')).status_code == 400
        assert 'samples' not in client.get('/').text
        for path in ('/config', '/gradio_api/info', '/gradio_api/file=/etc/hostname'):
            assert client.get(path).status_code == 401
        assert client.post('/gradio_api/upload', files=dict(files=('a.jpg', b'x'))).status_code == 401
        event = dict(fn_index=0, data=[], session_hash='a')
        assert client.post('/gradio_api/queue/join', json=event).status_code == 401


def test_the_page_asks_no_other_host(client):
    answer = client.get('/')
    assert answer.status_code == 200
    text = answer.text
    loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*?(?:src|href)="?(https?:[^" >]+)', text)
    assert [url for url in loaded if not url.startswith(str(client.base_url).rstrip('/'))] == []
    assert "default-src 'self'" in answer.headers['content-security-policy']
    assert 'fonts.googleapis' not in text
    config = client.get('/config').json()
    assert config['analytics_enabled'] is False
    assert 'googleapis' not in json.dumps(config)
    theme = client.get('/theme.css').text
    assert not re.search(r'url\([\'"]?https?:|@import', theme)


def test_a_page_of_another_name_is_refused(client):
    assert client.get('/', headers={'Host': 'evil.example'}).status_code == 400


def test_files_of_the_machine_are_not_served(client, pictures, pairs):
    for path in ('/etc/hostname', pairs[0][1], '../../../../etc/hostname', str(pictures[0].parents[1] / 'shapes.json')):
        assert client.get(f'/gradio_api/file={path}').status_code in (403, 404)


def test_too_large_uploads_end_early(client):
    answer = client.post('/gradio_api/upload', files=dict(files=('a.jpg', bytes(21 * 2**20))))
    assert answer.status_code == 413


def run(client, name: str, data: list) -> dict:
    """Call the function behind an event as a browser does, and return its last message."""
    config = client.get('/config').json()
    index = next(one['id'] for one in config['dependencies'] if one['api_name'] == name)
    joined = client.post('/gradio_api/queue/join', json=dict(fn_index=index, data=data, session_hash='abc'))
    assert joined.status_code == 200, joined.text
    with client.stream('GET', '/gradio_api/queue/data', params=dict(session_hash='abc'), timeout=60) as stream:
        for line in stream.iter_lines():
            message = json.loads(line[5:]) if line.startswith('data:') else {}
            if message.get('msg') == 'process_completed':
                return message
    raise AssertionError('no answer')


@pytest.mark.parametrize('path', ['/etc/hostname', 'http://127.0.0.1:1/secret.jpg'])
def test_a_picture_that_was_not_uploaded_is_not_read(client, models, path):
    given = dict(path=path, meta={'_type': 'gradio.FileData'}, orig_name='a.jpg')
    answer = run(client, '_given', [given, models.names[0], 0.3])
    text = json.dumps(answer)
    assert not answer['success'] or 'Choose a picture first' in text
    assert 'Traceback' not in text


def test_an_uploaded_picture_is_predicted_and_a_bad_one_is_refused(client, models, pictures):
    for name, content, wanted in (
        ('mine.jpg', pictures[0].read_bytes(), 'objects</p>'),
        ('mine.jpg', b'no picture', 'mine.jpg is no picture that can be read'),
    ):
        (path,) = client.post('/gradio_api/upload', files=dict(files=(name, content))).json()
        given = dict(path=path, meta={'_type': 'gradio.FileData'}, orig_name=name)
        answer = run(client, '_given', [given, models.names[0], 0.05])
        assert answer['success']
        assert wanted in json.dumps(answer['output']['data'])


@pytest.mark.slow
def test_the_command_serves_until_it_is_told_to_stop(pairs, shapes, tmp_path):
    tool = Path(__file__).parents[2] / 'tools/demo.py'
    command = [sys.executable, str(tool), *pairs[0], '--samples', str(shapes / 'val')]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, 'TMPDIR': str(tmp_path)}
    ) as server:
        line = server.stdout.readline()
        assert re.fullmatch(r'cascade_sparseswin_smoke: open http://127\.0\.0\.1:\d+/ \(Ctrl-C ends it\)\n', line)
        assert len(list(tmp_path.glob('mmsparseswin-demo-*'))) == 1
        answer = httpx.get(line.split()[2], trust_env=False)
        assert answer.status_code == 200
        server.send_signal(signal.SIGTERM)
        _, errors = server.communicate(timeout=60)
    assert server.returncode == 0
    assert 'Traceback' not in errors
    assert list(tmp_path.glob('mmsparseswin-demo-*')) == []
