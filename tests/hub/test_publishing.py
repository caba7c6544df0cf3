"""Weights for others: which ones are taken, one name for one content, and a card that nothing can break."""

import hashlib

import pytest
import safetensors.torch
import torch
import yaml

from mmsparseswin.engine.safe_reader import read_training_file
from mmsparseswin.errors import InputError
from mmsparseswin.hub.model_card import Facts, model_card
from mmsparseswin.hub.publishing import choose_weights, public_config, training_facts, write_published

SWAPPED = {  # as mmengine's EMAHook leaves it: the averaged weights are the state_dict
    'state_dict': {'a': torch.ones(1)},
    'ema_state_dict': {'module.a': torch.zeros(1), 'steps': torch.tensor(3)},
}
TIMM = {'state_dict': {'a': torch.zeros(1)}, 'state_dict_ema': {'module.a': torch.ones(1)}}
META = {'dataset_meta': {'classes': ('cat', 'dog')}, 'config_data': {'model': {'scale': (2, 3)}}}


@pytest.mark.parametrize('content', [SWAPPED, TIMM])
@pytest.mark.parametrize(('last', 'value', 'kind'), [(False, 1, 'averaged'), (True, 0, 'last')])
def test_averaged_weights_unless_the_last_are_asked_for(content, last, value, kind):
    chosen = choose_weights(content, last, 'w.pth')
    assert {name: tensor.item() for name, tensor in chosen.state.items()} == {'a': value}
    assert chosen.kind == kind


def test_weights_without_averaged_ones():
    assert choose_weights({'state_dict': {'a': torch.ones(1)}, 'optimizer': {}}, False, 'w.pth').kind == 'only'
    assert list(choose_weights({'a': torch.ones(1)}, False, 'w.pth').state) == ['a']
    with pytest.raises(InputError, match='leave --last out'):
        choose_weights({'state_dict': {'a': torch.ones(1)}}, True, 'w.pth')
    with pytest.raises(InputError, match='holds no weights'):
        choose_weights({'state_dict': {}, 'optimizer': {}}, False, 'w.pth')


@pytest.mark.parametrize('suffix', ['.safetensors', '.pth'])
def test_the_name_tells_the_content(tmp_path, suffix):
    shared = torch.arange(6.0)
    state = {'a': shared, 'b': shared, 'c': shared[2:]}  # safetensors alone refuses shared memory
    path, digest = write_published(state, tmp_path / 'new', 'swin-t.v1', suffix, META)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    assert path.name == f'swin-t.v1-{digest[:8]}{suffix}'
    for _ in range(3):
        assert write_published(state, tmp_path / 'new', 'swin-t.v1', suffix, META)[0] == path
    assert list((tmp_path / 'new').iterdir()) == [path]
    content = read_training_file(path)
    assert {name: tensor.tolist() for name, tensor in content['state_dict'].items()} == {
        name: tensor.tolist() for name, tensor in state.items()
    }
    assert {name: content['meta'][name] for name in META} == META


@pytest.mark.parametrize('name', ['', '../up', 'a b', '.hidden', 'a/b'])
def test_names_that_are_no_file_names(tmp_path, name):
    with pytest.raises(InputError, match='name'):
        write_published({'a': torch.ones(1)}, tmp_path, name, '.pth', META)


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise safetensors.SafetensorError('no space left')

    monkeypatch.setattr(safetensors.torch, 'save_file', fail)
    with pytest.raises(InputError, match='cannot be written: no space left'):
        write_published({'a': torch.ones(1)}, tmp_path, 'a', '.safetensors', META)
    assert list(tmp_path.iterdir()) == []


def test_facts_are_taken_if_they_are_of_their_kind():
    meta = {'epoch': 3, 'iter': True, 'seed': 'x', 'command': 'python train.py', 'cfg': 'import os'}
    assert training_facts({'meta': meta}, 'last') == {'weights': 'last', 'epoch': 3, 'command': 'python train.py'}
    assert training_facts({'meta': [1]}, 'only') == {'weights': 'only'}


def test_the_config_is_data():
    config = {'model': {'type': 'X'}, 'work_dir': '/home/me', 'load_from': None}
    assert public_config(config) == {'model': {'type': 'X'}}
    with pytest.raises(InputError, match=r'the config\.model\.act is a type'):
        public_config({'model': {'act': torch.nn.GELU}})


def test_a_card_has_all_facts_and_cannot_be_broken():
    backbone = {'type': 'mmsparseswin.SparseSwin', 'arch': 'tiny'}
    card = model_card(
        Facts(
            name='x',
            model={'type': 'mmdet.CascadeRCNN', 'backbone': backbone},
            library='mmdet',
            classes=['cat', '```', 'a|b'],
            parameters=1234567,
            macs=89,
            shape=(800, 1333),
            file='x-12345678.pth',
            sha256='12345678' * 8,
            usage='mmsparseswin predict',
            metrics={'coco|mAP': 0.4567891},
            training={'epoch': 12, 'iter': 3400, 'weights': 'averaged', 'command': 'python tools/train.py c.py'},
            license='apache-2.0: no',
        )
    )
    _, front, body = card.split('---\n', 2)
    assert yaml.safe_load(front)['license'] == 'apache-2.0: no'
    assert yaml.safe_load(front)['pipeline_tag'] == 'object-detection'
    assert '`CascadeRCNN` with the backbone `SparseSwin` (`tiny`), 3 classes.' in body
    for row in (
        '| Parameters | 1,234,567 |',
        '| MACs | 89 for one image of 800 x 1333 (height x width) |',
        '| Weights | `x-12345678.pth`, averaged over training (EMA) |',
        '| Trained | epoch 12, iteration 3,400 |',
        '| coco\\|mAP | 0.456789 |',
        '```shell\npython tools/train.py c.py\n```',
        '````text\ncat, ```, a|b\n````',
    ):
        assert row in body
