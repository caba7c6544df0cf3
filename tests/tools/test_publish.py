"""tools/model_converters/publish.py: a file that the other tools take, and its card."""

import json
import re

import torch

import mmsparseswin
from mmsparseswin.engine.safe_reader import read_training_file

TOOL = 'model_converters/publish.py'


def test_a_detector_predicts_as_its_checkpoint(tools, detector, tmp_path):
    (tmp_path / 'metrics.json').write_text('{"coco/bbox_mAP": 0.25, "epoch": "x"}')
    options = ['--license', 'apache-2.0', '--metrics', 'metrics.json', 'mine=0.5', '--shape', '64', '96']
    result = tools.run(TOOL, detector.config, detector.checkpoint, 'out', *options, cwd=tmp_path)
    assert result.code == 0, result.err
    (weights,) = (tmp_path / 'out').glob('*.safetensors')
    assert re.fullmatch(r'detector-[0-9a-f]{8}\.safetensors', weights.name)
    assert f'out/{weights.name}: the weights, ' in result.out
    content = read_training_file(weights)
    expected = torch.load(detector.checkpoint, map_location='cpu', weights_only=False)
    assert content['state_dict'].keys() == expected['state_dict'].keys()
    assert all(torch.equal(content['state_dict'][name], value) for name, value in expected['state_dict'].items())
    assert content['meta']['dataset_meta'] == {'classes': ('square', 'disc')}
    assert content['meta']['config_data']['model']['type'] == 'RetinaNet'
    assert content['meta']['training']['epoch'] == 1
    card = (tmp_path / 'out' / 'README.md').read_text()
    number = sum(value.numel() for name, value in expected['state_dict'].items() if not _is_buffer(name))
    assert f'| Parameters | {number:,} |' in card
    assert re.search(r'\| MACs \| [\d,]{6,} for one image of 64 x 96', card)
    assert '| coco/bbox_mAP | 0.25 |\n| mine | 0.5 |' in card
    assert f'{detector.config} --work-dir run' in card
    model = mmsparseswin.from_pretrained(tmp_path / 'out')
    assert type(model).__name__ == 'RetinaNet'
    assert model.dataset_meta['classes'] == ('square', 'disc')
    assert all(torch.equal(value, expected['state_dict'][name]) for name, value in model.state_dict().items())
    assert model.cfg.test_dataloader.dataset.pipeline[0].type == 'mmsparseswin.LoadImageFromFile'
    predicted = []
    for number, file in enumerate((detector.checkpoint, weights)):
        photo = detector.folder / 'coco' / 'images' / '000.jpg'
        rest = ['--score-thr', '0.008', '--no-pictures', '--out-dir', str(number)]
        result = tools.run('predict.py', detector.config, file, photo, *rest, cwd=tmp_path)
        assert result.code == 0, result.err
        predicted.append(json.loads((tmp_path / str(number) / 'predictions.json').read_text()))
    assert predicted[0]['annotations']
    assert predicted[0] == predicted[1]


def _is_buffer(name):
    return name.endswith(('running_mean', 'running_var', 'num_batches_tracked'))


def test_averaged_weights_of_a_classifier_as_pth(tools, classifier, tmp_path):
    content = torch.load(classifier.checkpoint, map_location='cpu', weights_only=False)
    averaged = {name: value + 1 for name, value in content['state_dict'].items()}
    old = {f'module.{name}': value for name, value in content['state_dict'].items()} | {'steps': torch.tensor(1)}
    torch.save({**content, 'state_dict': averaged, 'ema_state_dict': old}, tmp_path / 'w.pth')
    for options, expected in (([], averaged), (['--last'], content['state_dict'])):
        rest = ['--format', 'pth', '--name', f'x{len(options)}', *options]
        result = tools.run(TOOL, classifier.config, 'w.pth', 'out', *rest, cwd=tmp_path)
        assert result.code == 0, result.err
        (weights,) = (tmp_path / 'out').glob(f'x{len(options)}-*.pth')
        found = torch.load(weights, weights_only=True)
        assert found.keys() == {'meta', 'state_dict'}
        assert all(torch.equal(found['state_dict'][name], value) for name, value in expected.items())
        assert found['meta']['dataset_meta'] == {'classes': ('a', 'b')}


def test_mistakes_are_one_line(tools, detector, classifier, tmp_path):
    for arguments, words in [
        ([classifier.checkpoint, 'out'], 'does not fit this config'),
        (['none.pth', 'out'], 'no checkpoint at none.pth'),
        ([detector.checkpoint, 'out', '--last'], 'leave --last out'),
        ([detector.checkpoint, 'out', '--metrics', 'a=b'], "'b' is no number"),
        ([detector.checkpoint, 'out', '--metrics', 'none.json'], 'give a JSON file or NAME=VALUE'),
        ([detector.checkpoint, 'out', '--name', 'a b'], "name 'a b'"),
    ]:
        result = tools.run(TOOL, detector.config, *arguments, cwd=tmp_path)
        assert result.code == 2
        assert words in ' '.join(result.errors)
        assert 'Traceback' not in result.err
    assert not list(tmp_path.glob('out/*'))
