"""Every tool takes a .safetensors file where it takes a checkpoint, with the classes of its metadata."""

import json

import pytest
import safetensors.torch
import torch

from mmsparseswin.checkpoints.metadata import META_KEY, to_json


@pytest.fixture
def published(detector, tmp_path):
    return rewrite(detector.checkpoint, tmp_path / 'w.safetensors', ('one', 'two'))


def rewrite(checkpoint, path, classes=None):
    content = torch.load(checkpoint, map_location='cpu', weights_only=False)
    meta = to_json({'dataset_meta': {'classes': classes}}, 'meta')
    safetensors.torch.save_file(content['state_dict'], path, {META_KEY: meta} if classes else None)
    return path


def test_predictions_are_those_of_the_checkpoint_under_the_names_of_the_file(tools, detector, published, tmp_path):
    found = []
    for weights, out in ((detector.checkpoint, 'a'), (published, 'b')):
        photo = detector.folder / 'coco' / 'images' / '000.jpg'
        options = ['--score-thr', '0.008', '--no-pictures', '--out-dir', out]
        result = tools.run('predict.py', detector.config, weights, photo, *options, cwd=tmp_path)
        assert result.code == 0, result.err
        found.append(json.loads((tmp_path / out / 'predictions.json').read_text()))
    assert found[0]['annotations']
    assert found[1]['annotations'] == found[0]['annotations']
    assert [one['name'] for one in found[1]['categories']] == ['one', 'two']


def test_scores_are_those_of_the_checkpoint(tools, detector, published, tmp_path):
    scores = []
    for weights in (detector.checkpoint, published):
        options = ['--out', 'metrics.json', '--out-item', 'metrics']
        result = tools.run('test.py', detector.config, weights, *options, cwd=tmp_path)
        assert result.code == 0, result.err
        scores.append(json.loads((tmp_path / 'metrics.json').read_text()))
    assert scores[0] == scores[1]


def test_training_starts_from_the_weights_but_does_not_resume(tools, detector, published, tmp_path):
    start = ['--no-validate', '--cfg-options', f'load_from={published}']
    result = tools.run('train.py', detector.config, *start, cwd=tmp_path)
    assert result.code == 0, result.err
    assert '0 missing, 0 of another shape, 0 unexpected' in result.out
    result = tools.run('train.py', detector.config, '--resume', published, cwd=tmp_path)
    assert result.code == 2
    assert 'weights but no training state' in result.errors[0]


def test_classifiers_features(tools, classifier, tmp_path):
    weights = rewrite(classifier.checkpoint, tmp_path / 'w.safetensors')
    photo = classifier.folder / 'images' / 'a' / '000.jpg'
    command = ['analysis_tools/extract_features.py', classifier.config, weights, photo, '--no-pictures']
    result = tools.run(*command, cwd=tmp_path)
    assert result.code == 0, result.err


def test_trust_is_not_for_safetensors(tools, detector, published, tmp_path):
    result = tools.run('test.py', detector.config, published, '--trust-checkpoint', cwd=tmp_path)
    assert result.code == 2
    assert 'leave --trust-checkpoint out' in result.errors[0]


def test_a_damaged_file_is_one_error(tools, detector, published, tmp_path):
    published.write_bytes(published.read_bytes()[:-100])
    result = tools.run('test.py', detector.config, published, cwd=tmp_path)
    assert result.code == 2
    assert 'is corrupt or cut off' in result.errors[0]
