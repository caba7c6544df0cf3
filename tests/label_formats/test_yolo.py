"""YOLO labels: boxes, outlines, ways to write data.yaml, and every fault with its file and line."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from label_formats.yolo_files import write_yolo
from PIL import Image

from mmsparseswin.errors import InputError
from mmsparseswin.label_formats.problems import Problems
from mmsparseswin.label_formats.yolo import find_yolo, read_yolo

BOX = '1 0.5 0.5 0.2 0.4\n'


def read(source: Path):
    problems = Problems()
    return read_yolo(find_yolo(source, problems), problems), problems.lines


def test_boxes_and_outlines(tmp_path):
    text = '\ufeff0 0.3 0.5 0.2 0.4\r\n\r\n1.0 0.1 0.2 0.5 0.2 0.5 0.6\n1 0.99 0.5 0.04 1.0005\n'
    root = write_yolo(tmp_path, {'train/a': text, 'train/b': None, 'val/c': '', 'val/d': BOX})
    data, faults = read(root)
    assert faults == []
    assert data.classes == ('cat', 'dog')
    a, b = data.splits['train']
    box, outline, clipped = a.instances
    assert (a.size, b.instances, box.label, box.segmentation) == ((100, 50), [], 0, None)
    np.testing.assert_allclose((*box.box, box.area), (20, 15, 20, 20, 400))
    np.testing.assert_allclose((*outline.box, outline.area), (10, 10, 40, 20, 400))
    np.testing.assert_allclose(outline.segmentation, [[10, 10, 50, 10, 50, 30]])
    np.testing.assert_allclose(clipped.box, (97, 0, 3, 50))
    assert data.notes == [f'train: 1 pictures without label file have no objects: {root}/images/train/b.jpg']
    assert [len(picture.instances) for picture in data.splits['val']] == [0, 1]


@pytest.mark.parametrize(
    ('yaml', 'moved'),
    [
        ('path: {parent}/set\ntrain: images/train\nval: images/val\nnames: {{0: cat, 1: dog}}', ''),
        ('path: ./\ntrain: images/train/\nval: [images/val]\nnames: [cat, dog]\nnc: 2', ''),
        ('path: ../datasets/elsewhere\ntrain: images/train\nval: images/val\nnames: [cat, dog]', ''),
        ('train: {parent}/set/images/train\nval: train.txt\nnames: [cat, dog]', ''),
        ('train: ../train/images\nvalid: ../val/images\nnames: [cat, dog]', 'folders'),
    ],
    ids=['absolute', 'here', 'path of another machine', 'list', 'roboflow'],
)
def test_ways_to_write_paths(tmp_path, yaml, moved):
    root = write_yolo(tmp_path / 'set', {'train/a': BOX, 'val/b': BOX})
    if moved:
        for split in ('train', 'val'):
            for kind in ('images', 'labels'):
                (root / split).mkdir(exist_ok=True)
                shutil.move(root / kind / split, root / split / kind)
    (root / 'train.txt').write_text('./images/val/b.jpg\n')
    (root / 'data.yaml').write_text(yaml.format(parent=tmp_path))
    for source in (root, root / 'data.yaml'):
        data, faults = read(source)
        assert faults == []
        found = {split: [(one.path.name, len(one.instances)) for one in each] for split, each in data.splits.items()}
        assert found == {'train': [('a.jpg', 1)], 'val': [('b.jpg', 1)]}


def test_a_picture_turned_by_exif_is_labelled_upright(tmp_path):
    root = write_yolo(tmp_path, {'train/a': BOX, 'val/b': BOX})
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new('RGB', (100, 50)).save(root / 'images/train/a.jpg', exif=exif)
    (picture,) = read(root)[0].splits['train']
    assert picture.size == (50, 100)
    np.testing.assert_allclose(picture.instances[0].box, (20, 30, 10, 40))


@pytest.mark.parametrize(
    ('line', 'fault'),
    [
        ('2 0.5 0.5 0.2 0.4', 'class 2: data.yaml numbers its classes from 0 to 1'),
        ('-1 0.5 0.5 0.2 0.4', 'class -1: data.yaml numbers its classes from 0 to 1'),
        ('0.5 0.5 0.5 0.2 0.4', 'class 0.5: data.yaml numbers its classes from 0 to 1'),
        ('cat 0.5 0.5 0.2 0.4', 'cat, 0.5, 0.5, 0.2, 0.4: numbers are expected, the class first'),
        ('0 0.5 0.5 0.2', '4 numbers: a label is class x y width height, or class and three or more x y'),
        ('0 0.5 0.5 0.2 0.4 0.9', '6 numbers: a confidence makes it a prediction'),
        ('0 0.1 0.1 0.2 0.2 0.3 0.1 0.5', '8 numbers: a label is'),
        ('0 50 25 20 20', '50.0, 25.0, 20.0, 20.0: numbers are parts of width and height, from 0 to 1; these look'),
        ('0 nan 0.5 0.2 0.4', 'nan: numbers are parts'),
        ('0 0.5 0.5 0.2 0', 'has no width or no height'),
        ('0 0.1 0.1 0.5 0.5 0.9 0.9', 'the polygon of 3 points encloses no area'),
    ],
)
def test_faults_of_lines(tmp_path, line, fault):
    root = write_yolo(tmp_path, {'train/a': f'{BOX}{line}\n', 'val/b': BOX})
    data, faults = read(root)
    (text,) = faults
    assert text.startswith(f'{root}/labels/train/a.txt:2: ')
    assert fault in text
    assert len(data.splits['train'][0].instances) == 1


def test_faults_of_pictures_and_lists(tmp_path):
    root = write_yolo(tmp_path, {'train/a': BOX, 'val/b': BOX}, val='val.txt')
    (root / 'val.txt').write_text('images/val/b.jpg\nimages/val/lost.jpg\n')
    (root / 'images/train/a.jpg').write_text('no picture')
    data, faults = read(root)
    assert faults == [
        f'{root}/val.txt:2: no picture images/val/lost.jpg',
        f'{root}/images/train/a.jpg: cannot be read as a picture',
    ]
    assert data.splits['train'] == []


@pytest.mark.parametrize(
    ('yaml', 'error'),
    [
        ('train: images/train\nval: images/val', 'names must list the classes'),
        ('train: images/train\nnames: {0: cat, 2: dog}', 'the numbers go from 0 without a gap'),
        ('train: images/train\nnames: [cat, dog]\nnc: 3', 'nc is 3, but names has 2: cat, dog'),
        ('train: images/train\nnames: [cat, cat]', 'names has cat more than once'),
        ('val: images/val\nnames: [cat, dog]', 'names no pictures to train on'),
        ('train: pictures\nnames: [cat, dog]', r'train: pictures is nowhere; looked for .*/pictures'),
        ('train: labels/train\nnames: [cat, dog]', 'no picture below'),
        (
            'train: images/bare\nnames: [cat, dog]',
            r'none of the 1 pictures of train has labels, as .*/labels/bare/c.txt',
        ),
        ('train: images/train\nnames: [cat, dog]\nkpt_shape: [17, 3]', 'its labels are keypoints'),
        ('train: [', 'is no YAML file'),
        ('- train', 'holds no keys'),
    ],
)
def test_a_wrong_data_yaml_is_refused_in_one_line(tmp_path, yaml, error):
    root = write_yolo(tmp_path, {'train/a': BOX, 'val/b': BOX, 'bare/c': None})
    (root / 'data.yaml').write_text(yaml)
    with pytest.raises(InputError, match=error) as caught:
        read(root)
    assert '\n' not in str(caught.value)


def test_the_yaml_file_must_be_certain(tmp_path):
    with pytest.raises(InputError, match=r'no data\.yaml'):
        read(tmp_path)
    root = write_yolo(tmp_path, {'train/a': BOX, 'val/b': BOX})
    (root / 'hyp.yaml').write_text('lr: 1')
    assert read(root)[1] == []
    (root / 'data.yaml').rename(root / 'mine.yaml')
    with pytest.raises(InputError, match='several YAML files'):
        read(root)
