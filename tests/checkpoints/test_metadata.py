"""Facts about weights as JSON, in the header of a safetensors file."""

import pytest
import safetensors.torch
import torch

from mmsparseswin.checkpoints.metadata import META_KEY, from_json, read_metadata, to_json
from mmsparseswin.engine.safe_reader import read_training_file
from mmsparseswin.errors import InputError

CONFIG = {'model': {'type': 'X', 'scale': (1333, 800), 'nested': [(1, (2.5, None)), {'ok': True}], 'empty': ()}}


def write(path, meta=None, **words):
    words = words | ({} if meta is None else {META_KEY: meta})
    safetensors.torch.save_file({'a': torch.ones(2)}, path, words or None)
    return path


def test_tuples_stay_tuples():
    assert from_json(to_json(CONFIG, 'config'), 'x') == CONFIG
    assert isinstance(from_json(to_json(CONFIG, 'config', indent=2), 'x')['model']['scale'], tuple)


@pytest.mark.parametrize(
    ('value', 'words'),
    [
        ({'model': {'type': dict}}, 'config.model.type is a type'),
        ({'steps': [1, len]}, 'config.steps.1 is a builtin_function_or_method'),
        ({'names': {0: 'a'}}, 'config.names has the key 0'),
        ({'limit': float('inf')}, 'config.limit is inf'),
    ],
)
def test_what_is_no_data_is_named(value, words):
    with pytest.raises(InputError, match=words):
        to_json(value, 'config')


def test_the_reader_of_trainings_gives_weights_and_meta(tmp_path):
    meta = {'dataset_meta': {'classes': ('cat', 'dog')}, 'config_data': CONFIG, 'cfg': 'import os', 'config': 'x = 1'}
    content = read_training_file(write(tmp_path / 'w.safetensors', to_json(meta, 'meta')))
    assert content['meta'] == {'dataset_meta': {'classes': ('cat', 'dog')}, 'config_data': CONFIG}
    assert content['state_dict']['a'].tolist() == [1, 1]


def test_files_of_others_have_no_meta(tmp_path):
    assert read_metadata(write(tmp_path / 'a.safetensors')) == {}
    assert read_metadata(write(tmp_path / 'b.safetensors', format='pt')) == {}


def test_tensors_do_not_hang_on_the_file(tmp_path):
    path = write(tmp_path / 'w.safetensors')
    content = read_training_file(path)
    with open(path, 'r+b') as file:  # the same inode, as of a program that writes in place
        file.seek(-8, 2)
        file.write(bytes(8))
    assert content['state_dict']['a'].tolist() == [1, 1]


@pytest.mark.parametrize(
    ('meta', 'words'),
    [
        ('{"dataset_meta": ', 'is not JSON'),
        ('[' * 100_000, 'is not JSON'),
        ('[1]', 'holds a list instead of a dict'),
        ('{"dataset_meta": [1]}', 'dataset_meta is a list'),
        ('{"dataset_meta": {"classes": "cat"}}', 'classes is no list of names'),
        ('{"dataset_meta": {"classes": [1, 2]}}', 'classes is no list of names'),
    ],
)
def test_broken_metadata_is_one_error(tmp_path, meta, words):
    with pytest.raises(InputError, match=words):
        read_training_file(write(tmp_path / 'w.safetensors', meta))
