"""Models go to a hub and come back: against a stand-in of its protocol on loopback, by huggingface_hub itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from hub_stand_in import Hub
from safetensors.torch import save

import mmsparseswin
from mmsparseswin.errors import InputError
from mmsparseswin.hub import remote

START = """
import json, os, sys
import torch
import mmsparseswin
from mmsparseswin.errors import InputError

def error(function, *args, **options):
    try:
        function(*args, **options)
    except InputError as error:
        return str(error)
    return 'no error'

image = torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64)
def outputs(model):
    with torch.no_grad():
        found = model(image)
    return [round(float(t.double().abs().sum()), 6) for t in (found if isinstance(found, tuple) else [found])]

options, result = json.loads(sys.argv[1]), {}
"""
ONLINE = """
torch.manual_seed(0)
model = mmsparseswin.Swin(dict(embed_dims=8, depths=(1, 1), num_heads=(1, 2)), img_size=64, out_indices=(0, 1)).eval()
result['before'] = outputs(model)
url = mmsparseswin.push_to_hub(model, 'org/swin', private=True, token='hf_good', license='apache-2.0')
first = url.rsplit('/', 1)[1]
result['after'] = outputs(mmsparseswin.from_pretrained('org/swin'))
model.save_pretrained('folder')
open('folder/README.md', 'w').write('# mine')
open('folder/secret.txt', 'w').write('x')
with torch.no_grad():
    model.patch_embed.proj.bias += 1
result['changed'] = outputs(model)
mmsparseswin.push_to_hub(model, 'org/swin', token='hf_good')
result['newest'] = outputs(mmsparseswin.from_pretrained('org/swin'))
result['pinned'] = outputs(mmsparseswin.from_pretrained('org/swin', revision=first))
result['wide'] = [*mmsparseswin.from_pretrained('org/swin', out_type='avg_featmap', out_indices=(1,))(image)[0].shape]
mmsparseswin.push_to_hub('folder', 'org/folder', token='hf_good')
result['timm'] = outputs(mmsparseswin.from_pretrained('org/timm'))
result['own cache'] = outputs(mmsparseswin.from_pretrained('org/swin', cache_dir='cache'))
load, push = mmsparseswin.from_pretrained, mmsparseswin.push_to_hub
result['errors'] = {
    'nowhere': error(load, 'org/nowhere'),
    'revision': error(load, 'org/swin', revision='v9'),
    'gated': error(load, 'org/gated'),
    'empty': error(load, 'org/empty'),
    'code': error(load, 'org/code'),
    'no weights': error(load, 'org/lacking'),
    'not cached': error(load, 'org/timm', local_files_only=True, cache_dir='elsewhere'),
    'token': error(push, model, 'org/new', token='hf_bad'),
}
"""
OFFLINE = """
result['cached'] = outputs(mmsparseswin.from_pretrained('org/swin'))
result['timm'] = outputs(mmsparseswin.from_pretrained('org/timm'))
result['error'] = error(mmsparseswin.from_pretrained, 'org/nowhere')
"""
END = "\njson.dump(result, open(options['result'], 'w'))\n"


def run(code: str, folder: Path, url: str, **environment: str) -> dict:
    options = {'result': str(folder / 'result.json')}
    env = {**os.environ, 'HF_ENDPOINT': url, 'HF_HOME': str(folder / 'home'), **environment}
    env['PYTHONPATH'] = str(Path(mmsparseswin.__file__).parents[1])
    command = [sys.executable, '-c', START + code + END, json.dumps(options)]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / 'result.json').read_text())


@pytest.fixture(scope='module')
def visit(tmp_path_factory):
    """Both visits, and the hub with its log."""
    folder, hub = tmp_path_factory.mktemp('hub'), Hub()
    torch.manual_seed(0)
    # windows that divide each grid: timm pads others in another order
    sizes = dict(img_size=64, window_size=4, embed_dim=24, num_heads=(1, 2, 4, 8))
    peer = timm.create_model('swin_tiny_patch4_window7_224', **sizes).eval()
    hub.add('org/timm', {'config.json': b'{"architecture": "swin"}', 'model.safetensors': save(peer.state_dict())})
    canary = folder / 'canary'
    code = {'mmsparseswin_version': '1', 'model': {'type': 'os.system', 'command': f'touch {canary}'}}
    hub.add('org/code', {'config.json': json.dumps(code).encode(), 'model.safetensors': b''})
    hub.add('org/empty', {'notes.txt': b''})
    lacking = {'mmsparseswin_version': '1', 'model': {'type': 'mmsparseswin.Swin'}}
    hub.add('org/lacking', {'config.json': json.dumps(lacking).encode()})
    hub.add('org/gated', {})
    hub.gated.add('org/gated')
    online = run(ONLINE, folder, hub.url)
    requests = len(hub.log)
    offline = run(OFFLINE, folder, hub.url, HF_HUB_OFFLINE='1')
    offline_requests = hub.log[requests:]
    hub.close()
    image = torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64)
    with torch.no_grad():
        expected = float(peer(image).double().abs().sum())
    return hub, online, offline, offline_requests, expected, canary


def test_there_and_back(visit):
    hub, online, *_ = visit
    assert online['after'] == online['before']
    assert online['newest'] == online['changed'] != online['before']
    assert online['pinned'] == online['before']
    assert online['wide'] == [1, 16]
    assert hub.repos['org/swin'].private
    commits = [set(files) for _, files in hub.repos['org/swin'].commits]
    assert commits == [{'README.md', 'config.json', 'model.safetensors'}] * 2
    card = hub.repos['org/swin'].commits[0][1]['README.md'].decode()
    assert 'license: "apache-2.0"' in card
    assert "from_pretrained('org/swin')" in card


def test_a_card_on_the_hub_is_kept_but_that_of_a_folder_is_uploaded(visit):
    hub = visit[0]
    (_, first), (_, second) = hub.repos['org/swin'].commits
    assert second['README.md'] == first['README.md']
    assert hub.repos['org/folder'].commits[-1][1]['README.md'] == b'# mine'
    assert 'secret.txt' not in hub.repos['org/folder'].commits[-1][1]


def test_weights_of_timm_give_its_outputs(visit):
    _, online, offline, _, expected, _ = visit
    assert online['timm'][0] == pytest.approx(expected, rel=1e-4)
    assert offline['timm'] == online['timm']


def test_the_cache_serves_offline_and_nobody_is_asked(visit):
    _, online, offline, requests, *_ = visit
    assert offline['cached'] == online['newest'] == online['own cache']
    assert requests == []
    assert 'org/nowhere is not in the cache' in offline['error']


@pytest.mark.parametrize(
    ('case', 'words'),
    [
        ('nowhere', 'org/nowhere is not on the hub, or private'),
        ('revision', "org/swin has no revision 'v9'"),
        ('gated', 'ask there'),
        ('empty', 'has no config.json of MMSparseSwin'),
        ('no weights', 'has no model.safetensors'),
        ('not cached', 'is not in the cache'),
        ('token', 'org/new'),
    ],
)
def test_mistakes_are_one_line(visit, case, words):
    error = visit[1]['errors'][case]
    assert words in error
    assert '\n' not in error


def test_a_config_with_code_is_refused(visit):
    assert "model.type is 'os.system', which is not among the parts" in visit[1]['errors']['code']
    assert not visit[-1].exists()


def test_without_huggingface_hub_a_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    with pytest.raises(InputError, match=r"pip install 'mmsparseswin\[hub\]'"):
        remote.from_pretrained('org/name')


@pytest.mark.parametrize('name', ['', 'name', 'a/b/c', './none', '/none', '-o/name', 'org/na me'])
def test_names_that_are_none(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / '..' if name else tmp_path)
    with pytest.raises(InputError, match='no such folder'):
        remote.from_pretrained(name or 'x')
