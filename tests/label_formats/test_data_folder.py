"""COCO and YOLO folders: their files are found, YOLO is converted once for the same labels and pictures."""

import json
import os
from pathlib import Path

import pytest
from label_formats.yolo_files import write_yolo
from PIL import Image

from mmsparseswin.errors import InputError
from mmsparseswin.label_formats.data_folder import Split, find_splits

BOX = '1 0.5 0.5 0.2 0.4\n'


def write_coco(file: Path, pictures: Path, names=('a.jpg',), classes=('cat', 'dog')) -> Split:
    for name in names:
        (pictures / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (8, 8)).save(pictures / name)
    file.parent.mkdir(parents=True, exist_ok=True)
    images = [dict(id=index, file_name=name, width=8, height=8) for index, name in enumerate(names)]
    categories = [dict(id=index, name=name) for index, name in enumerate(classes)]
    file.write_text(json.dumps(dict(images=images, annotations=[], categories=categories)))
    return Split(file, pictures)


@pytest.mark.parametrize(
    ('files', 'pictures'),
    [
        ('annotations/instances_{}2017.json', '{}2017'),
        ('annotations/instances_{}.json', '{}'),
        ('annotations/instances_{}.json', 'images'),
        ('annotations/{}.json', 'images/{}'),
        ('{}/_annotations.coco.json', '{}'),
        ('instances_{}.json', '.'),
    ],
)
def test_layouts_of_coco(tmp_path, files, pictures):
    root = tmp_path / 'data'
    wanted = {
        split: write_coco(root / files.format(split), root / pictures.format(split), (f'{split}.jpg', 'sub/b.jpg'))
        for split in ('train', 'val')
    }
    classes, splits = find_splits(root, tmp_path / 'cache')
    assert classes == ('cat', 'dog')
    assert {split: (one.annotations, one.pictures.resolve()) for split, one in splits.items()} == {
        split: (one.annotations, one.pictures.resolve()) for split, one in wanted.items()
    }
    assert not (tmp_path / 'cache').exists()


def test_instances_win_over_captions_and_valid_is_val(tmp_path):
    write_coco(tmp_path / 'annotations/captions_train.json', tmp_path / 'train')
    train = write_coco(tmp_path / 'annotations/instances_train.json', tmp_path / 'train')
    val = write_coco(tmp_path / 'valid/_annotations.coco.json', tmp_path / 'valid')
    assert find_splits(tmp_path, tmp_path)[1] == {'train': train, 'val': val}


def test_folders_that_are_unclear_are_refused(tmp_path):
    def error() -> str:
        with pytest.raises(InputError) as caught:
            find_splits(tmp_path / 'data', tmp_path / 'cache')
        return str(caught.value)

    assert error() == f'no data at {tmp_path}/data'
    (tmp_path / 'data').mkdir()
    assert 'voc-to-coco and masks-to-coco of mmsparseswin convert' in error()
    files = tmp_path / 'data/annotations'
    write_coco(files / 'instances_train.json', tmp_path / 'elsewhere')
    assert f'the pictures of {files}/instances_train.json (a.jpg) are in none of' in error()
    write_coco(files / 'instances_train.json', tmp_path / 'data')
    write_coco(files / 'instances_train_old.json', tmp_path / 'data')
    assert 'has several files for train' in error()
    (files / 'instances_train_old.json').unlink()
    write_coco(files / 'instances_val.json', tmp_path / 'data', classes=('cat', 'wolf'))
    assert 'has the categories cat, wolf, and another split cat, dog' in error()
    (files / 'instances_val.json').write_text('[]')
    assert 'instances_val.json is no COCO file' in error()


def test_yolo_is_converted_once_for_the_same_labels_and_pictures(tmp_path, capsys):
    root = write_yolo(tmp_path / 'data', {'train/a': BOX, 'train/b': None, 'val/c': BOX})
    classes, splits = find_splits(root, tmp_path / 'cache')
    assert 'train: 1 pictures without label file have no objects' in capsys.readouterr().out
    assert classes == ('cat', 'dog')
    assert {split: one.pictures for split, one in splits.items()} == dict.fromkeys(('train', 'val'), root / 'images')
    content = json.loads(splits['train'].annotations.read_text())
    assert [image['file_name'] for image in content['images']] == ['train/a.jpg', 'train/b.jpg']
    assert content['annotations'] == [dict(id=1, image_id=1, category_id=2, bbox=[40, 15, 20, 20], area=400, iscrowd=0)]
    written = splits['train'].annotations.stat().st_mtime_ns
    assert find_splits(root / 'data.yaml', tmp_path / 'cache')[1] == splits
    assert splits['train'].annotations.stat().st_mtime_ns == written
    (root / 'labels/train/b.txt').write_text(BOX)
    changed = find_splits(root, tmp_path / 'cache')[1]['train']
    assert len(json.loads(changed.annotations.read_text())['annotations']) == 2
    picture = root / 'images/train/b.jpg'
    Image.new('RGB', (10, 10)).save(picture)
    os.utime(picture, ns=(1, 1))
    resized = find_splits(root, tmp_path / 'cache')[1]['train']
    assert json.loads(resized.annotations.read_text())['images'][1]['width'] == 10


def test_faults_of_yolo_are_one_line_and_nothing_is_kept(tmp_path):
    root = write_yolo(tmp_path / 'data', {'train/a': BOX + '7 0 0 1 1\n' * 7, 'val/c': BOX})
    with pytest.raises(InputError) as caught:
        find_splits(root, tmp_path / 'cache')
    text = str(caught.value)
    assert text.startswith(f'{root}/labels/train/a.txt:2: class 7: data.yaml numbers its classes from 0 to 1; ')
    assert text.endswith(f'; ... (7 in all): mend them, or leave them out by `mmsparseswin yolo-to-coco {root} OUT '
                         '--leave-out` and train on OUT')  # fmt: skip
    assert '\n' not in text
    assert not (tmp_path / 'cache').exists()
