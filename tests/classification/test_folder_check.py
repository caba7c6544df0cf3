"""Test class folders and lists of files as they occur in practice: right labels, or one line."""

import pytest
from mmengine.config import Config
from mmpretrain.registry import DATASETS
from PIL import Image

from mmsparseswin.classification.folder_check import check_classifier
from mmsparseswin.errors import InputError


def draw(root, *names):
    for name in names:
        (root / name).mkdir(parents=True)
        Image.new('RGB', (8, 8)).save(root / name / 'a.jpg')
    return root


def config(folder, n=2, **loaders):
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
    cfg = dict(default_scope='mmpretrain', model=dict(type='ImageClassifier', head=dict(num_classes=n)))
    for split, options in (loaders or dict(train={})).items():
        dataset = dict(type='CustomDataset', data_root=str(folder), pipeline=pipeline) | options
        cfg[f'{split}_dataloader'] = dict(dataset=dataset)
    return Config(cfg)


def labels(dataset):
    built = DATASETS.build(dict(dataset, pipeline=[]))
    found = {info['img_path'].split('/')[-2]: info['gt_label'] for info in map(built.get_data_info, range(len(built)))}
    return found, built.metainfo['classes']


@pytest.mark.parametrize('hidden', ['.ipynb_checkpoints', '__MACOSX'])
def test_hidden_folders_are_no_classes(tmp_path, hidden):
    draw(tmp_path / 'images', 'cat', 'dog', hidden)
    cfg = config(tmp_path / 'images')
    (note,) = check_classifier(cfg, ('train',), str(tmp_path / 'work'))
    assert f'hidden folders {hidden} are no classes' in note
    assert labels(cfg.train_dataloader.dataset) == ({'cat': 0, 'dog': 1}, ('cat', 'dog'))
    with pytest.raises(InputError, match=r'head\.num_classes=3, but .* has 2 classes \(cat, dog\)'):
        check_classifier(config(tmp_path / 'images', 3), ('train',))


def test_num_classes_must_fit(tmp_path):
    draw(tmp_path, 'cat', 'dog')
    assert check_classifier(config(tmp_path), ('train',)) == []
    with pytest.raises(InputError, match=r'head\.num_classes=1, but .* has 2 classes'):
        check_classifier(config(tmp_path, 1), ('train',))


def test_labels_follow_the_names_of_the_classes(tmp_path):
    draw(tmp_path / 'images', 'cat', 'dog')
    cfg = config(tmp_path / 'images', train=dict(metainfo=dict(classes=('dog', 'cat'))))
    (note,) = check_classifier(cfg, ('train',), str(tmp_path / 'work'))
    assert 'labels follow the names' in note
    assert labels(cfg.train_dataloader.dataset) == ({'dog': 0, 'cat': 1}, ('dog', 'cat'))


@pytest.mark.parametrize('splits', [('train', 'val'), ('val',)])
def test_a_class_that_validation_lacks_moves_no_label(tmp_path, splits):
    draw(tmp_path / 'train', 'ant', 'cat', 'dog')
    draw(tmp_path / 'val', 'cat', 'dog')
    cfg = config(tmp_path, 3, train=dict(data_prefix='train'), val=dict(data_prefix='val'))
    check_classifier(cfg, splits, str(tmp_path / 'work'))
    assert labels(cfg.val_dataloader.dataset) == ({'cat': 1, 'dog': 2}, ('ant', 'cat', 'dog'))


def test_folders_that_training_does_not_know(tmp_path):
    draw(tmp_path / 'train', 'cat', 'dog')
    draw(tmp_path / 'val', 'cat', 'cow')
    cfg = config(tmp_path, train=dict(data_prefix='train'), val=dict(data_prefix='val'))
    with pytest.raises(InputError, match=r'class folders of the training data.*cow'):
        check_classifier(cfg, ('train', 'val'))


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('cat/a.jpg 0\ncat/a.jpg 2\n', r'line 2: .* below 2'),
        ('cat/a.jpg\n', 'line 1'),
        ('cat/b.jpg 0\n', r'not in .*cat/b\.jpg'),
        ('\n', 'is empty'),
    ],
)
def test_lists_with_faults(tmp_path, text, words):
    draw(tmp_path, 'cat', 'dog')
    (tmp_path / 'list.txt').write_text(text)
    cfg = config(tmp_path, train=dict(ann_file='list.txt', metainfo=dict(classes=('cat', 'dog'))))
    with pytest.raises(InputError, match=words):
        check_classifier(cfg, ('train',))


def test_empty_lines_of_a_list_are_left_out(tmp_path):
    draw(tmp_path, 'cat', 'dog')
    (tmp_path / 'list.txt').write_bytes(b'\xef\xbb\xbfcat/a.jpg 0\r\n\r\ndog/a.jpg 1\r\n')
    cfg = config(tmp_path, train=dict(ann_file='list.txt', metainfo=dict(classes=('cat', 'dog'))))
    (note,) = check_classifier(cfg, ('train',), str(tmp_path / 'work'))
    assert 'empty lines' in note
    assert labels(cfg.train_dataloader.dataset)[0] == {'cat': 0, 'dog': 1}


def test_a_missing_folder_or_no_class(tmp_path):
    with pytest.raises(InputError, match='no folder /nowhere'):
        check_classifier(config('/nowhere'), ('train',))
    with pytest.raises(InputError, match='holds no class folders'):
        check_classifier(config(tmp_path), ('train',))
