"""predict.py with an exported classifier in place of the checkpoint."""

import json

import pytest


def lines_of(path):
    run, *records = map(json.loads, (path / 'predictions.jsonl').read_text().splitlines())
    return run['run'], records


@pytest.fixture(scope='module')
def exported(tools, classifier, tmp_path_factory):
    folder = tmp_path_factory.mktemp('exported')
    options = ['--format', 'onnx', '--shape', '32', '--preprocess', 'bgr', '--dynamic', 'batch']
    result = tools.run(
        'export.py', classifier.config, classifier.checkpoint, *options, '--out', 'model.onnx', cwd=folder
    )
    assert result.code == 0, result.err
    return folder / 'model.onnx'


def test_an_exported_classifier_writes_the_lines_of_its_checkpoint(tools, classifier, exported, tmp_path):
    photos = classifier.folder / 'coco' / 'images'
    (tmp_path / 'cut.jpg').write_bytes((photos / '000.jpg').read_bytes()[:900])
    (tmp_path / 'text.png').write_text('text')
    for name, weights in (('eager', classifier.checkpoint), ('file', exported)):
        command = ['predict.py', classifier.config, weights, photos, 'cut.jpg', 'text.png', '--batch-size', '2']
        result = tools.run(*command, '--out-dir', name, cwd=tmp_path)
        assert result.code == 1, result.err  # two of them cannot be read
        assert 'skipped corrupt image cut.jpg' in result.err
    (_, wanted), (run, found) = lines_of(tmp_path / 'eager'), lines_of(tmp_path / 'file')
    assert run['checkpoint'] == str(exported)
    assert len(found) == 5
    for one, other in zip(found, wanted, strict=True):
        assert one.pop('score') == pytest.approx(other.pop('score'), abs=1e-4)
        assert one == other
    assert [one['file_name'] for one in json.loads((tmp_path / 'file' / 'predictions.json').read_text())] == [
        one['file_name'] for one in found
    ]
    drawn = [sorted(path.name for path in (tmp_path / name / 'pictures').iterdir()) for name in ('eager', 'file')]
    assert drawn[0] == drawn[1]
    for name in drawn[0]:
        one, other = ((tmp_path / folder / 'pictures' / name).read_bytes() for folder in ('eager', 'file'))
        assert one == other, 'drawn alike'


def test_what_an_exported_file_cannot_do_is_one_line(tools, classifier, detector, exported, tmp_path):
    photo = classifier.folder / 'coco' / 'images' / '000.jpg'
    for config, options, line in [
        (classifier.config, ['--show-windows'], 'leave out --show-windows, --amp and --device'),
        (classifier.config, ['--amp'], 'an exported file runs on the CPU in float32'),
        (classifier.config, ['--device', 'cuda'], 'an exported file runs on the CPU in float32'),
        (classifier.config, ['--cfg-options', 'test_dataloader.dataset.pipeline.1.scale=40'], 'test pipeline differs'),
        (classifier.config, ['--cfg-options', 'data_preprocessor.mean=[1,0,0]'], 'exported with the mean'),
        (detector.config, [], 'is an exported classifier, and the config is of a detector'),
    ]:
        result = tools.run('predict.py', config, exported, photo, *options, cwd=tmp_path)
        assert result.code == 2, result.err
        assert line in result.err.splitlines()[-1]
    result = tools.run('predict.py', classifier.config, 'none.onnx', photo, cwd=tmp_path)
    assert result.code == 2
    assert 'no exported model at none.onnx' in result.err
