"""The converters as commands: round trips of real data, what they say, and faults that stop them."""

import json
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest
from label_formats.yolo_files import write_yolo
from mmengine.config import Config
from PIL import Image
from pycocotools import mask as run_lengths
from real_data import labelled

from mmsparseswin.detection.data_check.datasets import check_config

ROOT = Path(__file__).parents[2]


def boxes(content: dict) -> dict[str, list]:
    """Return the objects by file name, as category name and box."""
    names = {category['id']: category['name'] for category in content['categories']}
    files = {image['id']: image['file_name'] for image in content['images']}
    found: dict[str, list] = {file: [] for file in files.values()}
    for one in content['annotations']:
        found[files[one['image_id']]].append((names[one['category_id']], *one['bbox']))
    return {file: sorted(each) for file, each in found.items()}


def write_voc(source: Path, root: Path, split: str, count: int) -> dict:
    """Write the first pictures of a split of BCCD as it is published; return their COCO content."""
    content = json.loads((source / f'annotations/instances_{split}.json').read_text())
    odd = {one['image_id'] for one in content['annotations'] if min(one['bbox'][2:]) <= 0}
    content['images'] = sorted(content['images'], key=lambda image: image['id'] not in odd)[:count]
    ids = {image['id'] for image in content['images']}
    content['annotations'] = [one for one in content['annotations'] if one['image_id'] in ids]
    names = {category['id']: category['name'] for category in content['categories']}
    for folder in ('Annotations', 'JPEGImages', 'ImageSets/Main'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for image in content['images']:
        lines = [f'<annotation><folder>JPEGImages</folder><filename>{escape(image["file_name"])}</filename>']
        lines.append(f'<size><width>{image["width"]}</width><height>{image["height"]}</height></size>')
        for one in content['annotations']:
            if one['image_id'] == image['id']:
                x, y, w, h = map(int, one['bbox'])
                lines.append(f'<object><name>{names[one["category_id"]]}</name><difficult>0</difficult>')
                lines.append(f'<bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax>')
                lines.append('</bndbox></object>')
        stem = Path(image['file_name']).stem
        (root / 'Annotations' / f'{stem}.xml').write_text('\n'.join([*lines, '</annotation>']))
        picture = root / 'JPEGImages' / image['file_name']
        picture.write_bytes((source / 'images' / image['file_name']).read_bytes())
    (root / f'ImageSets/Main/{split}.txt').write_text(
        '\n'.join(Path(image['file_name']).stem for image in content['images'])
    )
    return content


def test_bccd_comes_back_from_voc_and_fits_its_config(tools, tmp_path):
    source = labelled('bccd')
    wanted = {split: write_voc(source, tmp_path / 'BCCD', split, 6) for split in ('train', 'val', 'test')}
    call = ('dataset_tools/voc_to_coco.py', 'BCCD', 'data/bccd', '--copy-to', 'images')
    refused = tools.run(*call, cwd=tmp_path)
    assert refused.code == 2
    assert refused.errors == ['error: 2 faults above, nothing written: mend them, or leave them out by --leave-out']
    assert 'has no width or no height' in refused.err
    assert not (tmp_path / 'data').exists()
    done = tools.run(*call, '--leave-out', cwd=tmp_path)
    assert done.code == 0, done.err
    assert 'classes: Platelets, RBC, WBC' in done.out
    for split, content in wanted.items():
        content['annotations'] = [one for one in content['annotations'] if min(one['bbox'][2:]) > 0]
        path = tmp_path / f'data/bccd/annotations/instances_{split}.json'
        assert boxes(json.loads(path.read_text())) == boxes(content)
    fits(ROOT / 'configs/_base_/datasets/bccd.py', tmp_path, 'data/bccd/', ('train', 'val', 'test'))


def test_nuclei_come_back_from_masks_and_fit_their_config(tools, tmp_path):
    source = labelled('nuclei')
    content = json.loads((source / 'annotations/instances_train.json').read_text())
    images = {image['id']: image for image in content['images'][:5]}
    for image in images.values():
        stem = Path(image['file_name']).stem
        for folder in ('images', 'masks'):
            (tmp_path / 'stage1' / stem / folder).mkdir(parents=True)
        Image.open(source / 'train' / image['file_name']).save(tmp_path / 'stage1' / stem / 'images' / f'{stem}.png')
    wanted = [one for one in content['annotations'] if one['image_id'] in images]
    for number, one in enumerate(wanted):
        mask = run_lengths.decode(one['segmentation']) * 255
        stem = Path(images[one['image_id']]['file_name']).stem
        Image.fromarray(mask).save(tmp_path / 'stage1' / stem / 'masks' / f'{number}.png')
    call = ('dataset_tools/masks_to_coco.py', 'stage1', 'data/nuclei', '--name', 'nucleus', '--val', '0.2')
    done = tools.run(*call, '--copy-to', '{split}', cwd=tmp_path)
    assert done.code == 0, done.err
    found = {}
    for split, count in (('train', 4), ('val', 1)):
        converted = json.loads((tmp_path / f'data/nuclei/annotations/instances_{split}.json').read_text())
        assert len(converted['images']) == len(list((tmp_path / 'data/nuclei' / split).iterdir())) == count
        names = {image['id']: image['file_name'] for image in converted['images']}
        for one in converted['annotations']:
            found.setdefault(names[one['image_id']], []).append((one['bbox'], one['area'], one['segmentation']))
    for image in images.values():
        own = [one for one in wanted if one['image_id'] == image['id']]
        mine = sorted(found[image['file_name']], key=str)
        assert mine == sorted(((one['bbox'], one['area'], one['segmentation']) for one in own), key=str)
    fits(ROOT / 'configs/_base_/datasets/nuclei.py', tmp_path, 'data/nuclei/', ('train', 'val'))


def fits(config: Path, folder: Path, root: str, splits: tuple[str, ...]) -> None:
    """The converted data pass the check of a config's data as its paths name them."""
    text = Config.fromfile(config)
    for name in splits:
        assert text[f'{name}_dataloader'].dataset.data_root == root
        text[f'{name}_dataloader'].dataset.data_root = f'{folder}/{root}'
        if name != 'train':
            text[f'{name}_evaluator'].ann_file = f'{folder}/{text[f"{name}_evaluator"].ann_file}'
    checked = check_config(text, splits)
    assert [one.errors for one in checked] == [[]] * len(splits)


@pytest.mark.parametrize('name', ['bccd', 'nuclei'])
def test_the_base_config_fits_the_whole_data(name, monkeypatch, tmp_path):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / name).symlink_to(labelled(name))
    monkeypatch.chdir(tmp_path)
    cfg = Config.fromfile(ROOT / f'configs/_base_/datasets/{name}.py')
    for one in check_config(cfg, ('train', 'val', 'test')):
        assert one.errors == []


def test_yolo_says_what_it_wrote_and_draws_no_pictures(tools, tmp_path):
    text = '0 0.5 0.5 0.2 0.4\n1 0.1 0.1 0.3 0.1 0.3 0.5\n'
    root = write_yolo(tmp_path / 'set', {'train/a': text, 'train/b': None, 'val/c': text})
    done = tools.run('dataset_tools/yolo_to_coco.py', 'set', 'out', cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        f'train: 2 pictures, 2 objects: out/annotations/instances_train.json; pictures in {root}/images',
        f'val: 1 pictures, 2 objects: out/annotations/instances_val.json; pictures in {root}/images',
        'classes: cat, dog',
        f'train: 1 pictures without label file have no objects: {root}/images/train/b.jpg',
    ]
    content = json.loads((tmp_path / 'out/annotations/instances_train.json').read_text())
    assert [image['file_name'] for image in content['images']] == ['train/a.jpg', 'train/b.jpg']
    np.testing.assert_allclose([one['bbox'] for one in content['annotations']], [[40, 15, 20, 20], [10, 5, 20, 20]])
    assert content['annotations'][1]['segmentation'] == [[10, 5, 30, 5, 30, 25]]


def test_pictures_of_one_name_are_copied_apart(tools, tmp_path):
    root = write_yolo(tmp_path / 'set', {'train/x/a': '', 'train/y/a': '0 0.5 0.5 0.2 0.4', 'val/c': ''})
    assert tools.run('dataset_tools/yolo_to_coco.py', root, 'out', '--copy-to', 'pictures', cwd=tmp_path).code == 0
    content = json.loads((tmp_path / 'out/annotations/instances_train.json').read_text())
    names = [image['file_name'] for image in content['images']]
    assert names == ['train/x/a.jpg', 'train/y/a.jpg']
    assert all((tmp_path / 'out/pictures' / name).is_file() for name in names)


@pytest.mark.parametrize(
    ('options', 'error'),
    [
        (['--val', '0.01'], 'error: --val 0.01 of 2 pictures are 0; both splits need pictures'),
        (['--copy-to', '../outside'], "error: --copy-to '../outside' leads out of out"),
    ],
)
def test_wrong_options_are_one_line(tools, tmp_path, options, error):
    for name in 'ab':
        for folder in ('images', f'masks/{name}'):
            (tmp_path / 'set' / folder).mkdir(parents=True, exist_ok=True)
        Image.new('L', (9, 9), 255).save(tmp_path / f'set/images/{name}.png')
        Image.new('L', (9, 9), 255).save(tmp_path / f'set/masks/{name}/1.png')
    done = tools.run('dataset_tools/masks_to_coco.py', 'set', 'out', *options, cwd=tmp_path)
    assert (done.code, done.errors) == (2, [error])
    assert not (tmp_path / 'out').exists()
