"""Names in predictions: classes as the model learnt them, and pictures that never replace each other."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image


def rewrite(trained, path: Path, meta: dict | None) -> Path:
    """The checkpoint of `trained` with another `meta`; with None the bare weights."""
    state = torch.load(trained.checkpoint, map_location='cpu', weights_only=False)['state_dict']
    torch.save(state if meta is None else {'meta': meta, 'state_dict': state}, path)
    return path


def classes_of(folder: Path) -> list[str]:
    found = json.loads((folder / 'predictions' / 'predictions.json').read_text())
    if isinstance(found, list):
        return [one['class'] for one in found]
    return [category['name'] for category in found['categories']]


@pytest.fixture
def photo(detector) -> Path:
    return detector.folder / 'coco' / 'images' / '000.jpg'


def edited(trained, folder: Path, lines: str) -> Path:
    """The config of `trained` with `lines` at its end."""
    path = folder / 'edited.py'
    path.write_text(trained.config.read_text() + lines)
    return path


NO_METAINFO = 'del metainfo\nfor loader in (val_dataloader, train_dataloader):\n    loader["dataset"].pop("metainfo")\n'
OTHERS = 'test_dataloader = dict(val_dataloader, dataset=dict(val_dataloader["dataset"], metainfo=dict(classes=%r)))\n'


@pytest.mark.parametrize(
    ('meta', 'lines', 'expected', 'said'),
    [
        (None, '', ['square', 'disc'], ''),
        ({}, '', ['square', 'disc'], ''),
        ({'dataset_meta': {'palette': 'random'}}, '', ['square', 'disc'], ''),
        ({'dataset_meta': {'CLASSES': ['one', 'two']}}, '', ['one', 'two'], 'data set of the config has others'),
        ({'CLASSES': ('one', 'two')}, '', ['one', 'two'], 'data set of the config has others'),
        ({'CLASSES': ('square', 'disc')}, OTHERS % (('a', 'b', 'c'),), ['square', 'disc'], ''),
        (None, OTHERS % (('ball', 'box'),), ['ball', 'box'], ''),
    ],
)
def test_a_detector_has_the_names_of_its_checkpoint_else_of_its_config(
    tools, detector, photo, tmp_path, meta, lines, expected, said
):
    config, weights = edited(detector, tmp_path, lines), rewrite(detector, tmp_path / 'w.pth', meta)
    result = tools.run('predict.py', config, weights, photo, '--score-thr', '0.008', cwd=tmp_path)
    assert result.code == 0, result.err
    assert classes_of(tmp_path) == expected
    assert said in result.err
    assert 'COCO' not in result.err
    assert not said or result.err.count('data set of the config has others') == 1
    assert (tmp_path / 'predictions' / 'pictures' / '000.jpg').is_file()


@pytest.mark.parametrize(
    ('meta', 'lines', 'words'),
    [
        ({'CLASSES': ['a', 'b', 'c']}, '', 'w.pth names 3 classes (a, b, c), and the model has 2'),
        (
            None,
            OTHERS % (('a', 'b', 'c'),),
            'the data set of the config names 3 classes (a, b, c), and the model has 2',
        ),
        (None, NO_METAINFO, 'the data set of the config names 80 classes (person,'),
    ],
)
def test_another_number_of_names_is_one_error(tools, detector, photo, tmp_path, meta, lines, words):
    config, weights = edited(detector, tmp_path, lines), rewrite(detector, tmp_path / 'w.pth', meta)
    result = tools.run('predict.py', config, weights, photo, cwd=tmp_path)
    assert result.code == 2
    assert 'Traceback' not in result.err
    assert len(result.errors) == 1
    assert words in result.errors[0]


def test_a_classifier_has_the_names_of_its_checkpoint_else_of_its_config_or_folders(tools, classifier, photo, tmp_path):
    weights = rewrite(classifier, tmp_path / 'w.pth', None)
    named = "for loader in (train_dataloader, test_dataloader):\n    loader['dataset']['classes'] = ('cat', 'dog')\n"
    gone = f"train_dataloader['dataset']['data_root'] = {str(tmp_path / 'gone')!r}\n"
    for lines, expected in [('', {'a', 'b'}), (named, {'cat', 'dog'}), (gone, {'0', '1'})]:
        result = tools.run('predict.py', edited(classifier, tmp_path, lines), weights, photo, cwd=tmp_path)
        assert result.code == 0, result.err
        assert set(classes_of(tmp_path)) <= expected
        assert ('numbers from 0 stand for them' in result.err) == (lines == gone)
    weights = rewrite(classifier, tmp_path / 'w.pth', {'CLASSES': ['a', 'b', 'c']})
    result = tools.run('predict.py', classifier.config, weights, photo, cwd=tmp_path)
    assert result.code == 2
    assert 'w.pth names 3 classes (a, b, c), and the model has 2' in result.errors[0]


def draw(path: Path, colour: tuple[int, int, int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('L' if path.suffix == '.pgm' else 'RGB', (64, 48), colour[0] if path.suffix == '.pgm' else colour).save(
        path
    )
    return path


@pytest.mark.parametrize('kind', ['detector', 'classifier'])
def test_pictures_of_equal_stems_in_one_or_several_folders_are_all_kept(tools, request, tmp_path, kind):
    trained = request.getfixturevalue(kind)
    one, two = tmp_path / 'in' / 'one', tmp_path / 'in' / 'two'
    inputs = [one / 'a.jpg', one / 'a.png', one / 'a.pgm', one / 'sub' / 'a.png', two / 'a.png', two / 'b.png']
    for index, path in enumerate(inputs):
        draw(path, (40 * index, 0, 40 * index))
    shutil.copy(one / 'a.jpg', tmp_path / 'a.jpg')
    command = ['predict.py', trained.config, trained.checkpoint, one, two, 'in/one/a.png', 'a.jpg']
    result = tools.run(*command, cwd=tmp_path)
    assert result.code == 0, result.err
    names = {'a.jpg', *(str(path.relative_to(tmp_path)) for path in inputs)}
    found = json.loads((tmp_path / 'predictions' / 'predictions.json').read_text())
    predicted = [image['file_name'] for image in (found['images'] if kind == 'detector' else found)]
    assert sorted(predicted) == sorted(names)
    pictures = tmp_path / 'predictions' / 'pictures'
    drawn = {str(path.relative_to(pictures)) for path in pictures.rglob('*') if path.is_file()}
    assert drawn == {name + '.png' * name.endswith('.pgm') for name in names}
    for path in inputs:  # each is its own: the corner has the input's colour
        name = str(path.relative_to(tmp_path)) + '.png' * (path.suffix == '.pgm')
        corner = np.asarray(Image.open(pictures / name).convert('RGB'))[-2, -2].astype(int)
        assert abs(corner - np.asarray(Image.open(path).convert('RGB'))[-2, -2]).max() <= 6, name

    # A second run over everything does not meet the pictures of the first, and --resume has nothing left to do.
    lines = (tmp_path / 'predictions' / 'predictions.jsonl').read_text()
    for arguments in (['--resume', '.'], ['--resume', *command[3:]]):
        assert tools.run(*command[:3], *arguments, cwd=tmp_path).code == 0
        assert (tmp_path / 'predictions' / 'predictions.jsonl').read_text() == lines


def test_resume_never_takes_one_picture_for_another(tools, classifier, tmp_path):
    for folder in ('one', 'two'):
        draw(tmp_path / folder / 'a.png', (90, 0, 0))
    command = ['predict.py', classifier.config, classifier.checkpoint]
    assert tools.run(*command, 'one', cwd=tmp_path).code == 0
    result = tools.run(*command, 'two', '--resume', cwd=tmp_path)
    assert result.code == 2
    assert 'a.png of the stopped run is ' in result.errors[0]
    assert tools.run(*command, 'one', 'two', '--resume', cwd=tmp_path).code == 0
    found = json.loads((tmp_path / 'predictions' / 'predictions.json').read_text())
    assert [image['file_name'] for image in found] == ['one/a.png', 'two/a.png']
    result = tools.run(*command, 'predictions/pictures/one/a.png', cwd=tmp_path)
    assert result.code == 2
    assert 'choose another --out-dir' in result.errors[0]
