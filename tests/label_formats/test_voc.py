"""Pascal VOC: boxes, splits, pictures and every fault with its file and line."""

from pathlib import Path

import pytest
from PIL import Image

from mmsparseswin.errors import InputError
from mmsparseswin.label_formats.problems import Problems
from mmsparseswin.label_formats.voc import read_voc

XML = """<annotation>
  <filename>{filename}</filename>
  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>
{objects}</annotation>
"""
OBJECT = (
    '  <object>\n    <name>{}</name>\n    <difficult>{}</difficult>\n    <part><name>head</name><bndbox><xmin>1</xmin>'
    '</bndbox></part>\n    <bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>\n  </object>\n'
)


def label(
    root: Path, name: str, *objects: tuple, size=(60, 40), said=None, folder='Annotations', pictures='JPEGImages'
):
    """Write a picture and its XML file; an object is (name, difficult, xmin, ymin, xmax, ymax)."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / pictures).mkdir(parents=True, exist_ok=True)
    Image.new('RGB', size).save(root / pictures / f'{name}.jpg')
    width, height = said or size
    text = XML.format(
        filename=f'{name}.jpg', width=width, height=height, objects=''.join(OBJECT.format(*one) for one in objects)
    )
    (root / folder / f'{name}.xml').write_text(text)
    return root / folder / f'{name}.xml'


def read(root: Path, **options):
    problems = Problems()
    return read_voc(root, problems, **options), problems.lines


def test_boxes_names_and_difficult_objects(tmp_path):
    label(tmp_path, 'a', ('dog', 0, 5, 6, 25, 36), ('cat', 1, 1, 2.5, 60, 40))
    label(tmp_path, 'b')
    data, faults = read(tmp_path)
    assert faults == []
    assert data.classes == ('cat', 'dog')
    a, b = data.splits['train']
    assert (a.path.name, a.size, b.instances) == ('a.jpg', (60, 40), [])
    dog, cat = a.instances
    assert (dog.label, dog.box, dog.area, dog.ignored) == (1, (5, 6, 20, 30), 600, False)
    assert (cat.label, cat.box, cat.ignored) == (0, (1, 2.5, 59, 37.5), True)
    assert [one.ignored for one in read(tmp_path, difficult='keep')[0].splits['train'][0].instances] == [False, False]
    dropped, _ = read(tmp_path, difficult='drop')
    assert (dropped.classes, len(dropped.splits['train'][0].instances)) == (('dog',), 1)
    counted_from_one, _ = read(tmp_path, pixels_from_one=True)
    assert counted_from_one.splits['train'][0].instances[0].box == (4, 5, 21, 31)
    ordered, _ = read(tmp_path, classes=['dog', 'cat'])
    assert ordered.splits['train'][0].instances[0].label == 0


def test_splits_are_vocs_lists(tmp_path):
    for name in ('a', 'b', 'c', 'unused'):
        label(tmp_path, name, ('dog', 0, 1, 1, 9, 9))
    lists = tmp_path / 'ImageSets' / 'Main'
    lists.mkdir(parents=True)
    (lists / 'train.txt').write_text('a\nb.jpg\n\n')
    (lists / 'val.txt').write_text('c\nlost\n')
    (lists / 'trainval.txt').write_text('a\nb\nc\n')
    (lists / 'dog_train.txt').write_text('a 1\nb -1\n')
    data, faults = read(tmp_path)
    names = {split: [picture.path.stem for picture in pictures] for split, pictures in data.splits.items()}
    assert names == {'train': ['a', 'b'], 'val': ['c']}
    assert faults == [f'{lists / "val.txt"}:2: no XML file for lost']


def test_splits_are_folders_and_the_picture_is_the_nearest_of_its_name(tmp_path):
    for split, size in (('train', (60, 40)), ('valid', (30, 20))):
        label(tmp_path, 'same', ('dog', 0, 1, 1, 9, 9), size=size, folder=split, pictures=split)
    Image.new('RGB', (5, 5)).save(tmp_path / 'train' / 'extra.png')
    data, faults = read(tmp_path)
    assert faults == []
    assert {split: pictures[0].size for split, pictures in data.splits.items()} == {'train': (60, 40), 'val': (30, 20)}
    assert data.notes == [f'1 pictures without XML file are left out: {tmp_path / "train" / "extra.png"}']
    label(tmp_path, 'outside', folder='.', pictures='.')
    with pytest.raises(InputError, match=r'outside\.xml lie in no folder of a split'):
        read(tmp_path)


def test_a_turned_picture_may_be_labelled_either_way(tmp_path):
    file = label(tmp_path, 'a', ('dog', 0, 1, 1, 9, 39), said=(60, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new('RGB', (60, 40)).save(tmp_path / 'JPEGImages' / 'a.jpg', exif=exif)
    assert read(tmp_path)[0].splits['train'][0].size == (60, 40)
    file.write_text(file.read_text().replace('<width>60</width><height>40', '<width>40</width><height>60'))
    assert read(tmp_path)[0].splits['train'][0].size == (40, 60)


def test_every_fault_has_its_file_and_line(tmp_path):
    good = ('dog', 0, 1, 1, 9, 9)
    flat = label(tmp_path, 'flat', good, ('dog', 0, 5, 5, 5, 9))
    outside = label(tmp_path, 'outside', ('dog', 0, 5, 5, 95, 9))
    words = label(tmp_path, 'words', ('dog', 0, 'five', 5, 9, 9))
    nameless = label(tmp_path, 'nameless', (' ', 0, 1, 1, 9, 9))
    size = label(tmp_path, 'size', good, said=(40, 60))
    bare = tmp_path / 'Annotations' / 'bare.xml'
    bare.write_text('<annotation/>')
    cut = label(tmp_path, 'cut', good)
    cut.write_text(cut.read_text()[:100])
    laughs = label(tmp_path, 'laughs', good)
    laughs.write_text('<!DOCTYPE a [<!ENTITY b "c">]>\n' + laughs.read_text())
    other = label(tmp_path, 'other', ('wolf', 0, 1, 1, 9, 9))
    html = tmp_path / 'Annotations' / 'html.xml'
    html.write_text('<html></html>')
    data, faults = read(tmp_path, classes=['dog'])
    found = dict(fault.split(': ', 1) for fault in faults)
    assert found.pop(f'{flat}:10') == 'the box (5, 5) to (5, 9) has no width or no height'
    assert found.pop(f'{outside}:4') == 'the box (5, 5) to (95, 9) leaves its picture of 60 x 40'
    assert found.pop(f'{words}:4') == "<xmin> of <bndbox> is 'five', no number"
    assert found.pop(f'{nameless}:4') == 'an object without <name>'
    assert 'is 60 x 40 pixels, but' in found[f'{size}']
    assert '(width and height exchanged)' in found.pop(f'{size}')
    assert found.pop(f'{bare}') == 'no picture bare.* or (filename is empty) below the folder'
    assert found.pop(f'{cut}').startswith('no XML: ')
    assert found.pop(f'{laughs}').startswith('declares a document type')
    assert found.pop(f'{other}:4') == "the class 'wolf' is none of dog"
    assert found.pop(f'{html}') == 'no VOC file: its first element is <html>, not <annotation>'
    assert found == {}
    kept = {picture.path.stem: len(picture.instances) for picture in data.splits['train']}
    assert kept == {'flat': 1, 'outside': 0, 'words': 0, 'nameless': 0, 'other': 0}


def test_folders_without_labels_are_refused(tmp_path):
    with pytest.raises(InputError, match='no folder at'):
        read(tmp_path / 'nowhere')
    with pytest.raises(InputError, match='no XML file below'):
        read(tmp_path)
