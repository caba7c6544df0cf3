"""Data with faults that people really bring, through the tools: the right score, a word about it, or one line."""

import json
import shutil

import numpy as np
import pytest
import tiny
import torch
from PIL import Image


def scores(tools, config, checkpoint, folder, *options) -> dict:
    result = tools.run('test.py', config, checkpoint, '--work-dir', 'run', '--out', 's.json', '--out-item', 'metrics',
                       *options, cwd=folder)  # fmt: skip
    assert result.code == 0, result.err
    return json.loads((folder / 's.json').read_text()), result.out + result.err


def test_renumbered_ids_keep_the_score_and_predictions_keep_the_ids(tools, detector, coco, tmp_path):
    plain, _ = scores(tools, coco[1], detector.checkpoint, tmp_path)

    def spoil(content):
        for index, ann in enumerate(content['annotations']):
            ann.update(id=index, image_id=f'photo {ann["image_id"]}')
        for image in content['images']:
            image['id'] = f'photo {image["id"]}'
        content['categories'].reverse()

    tiny.edit(coco[0], spoil)
    found, log = scores(tools, coco[1], detector.checkpoint, tmp_path)
    assert found == plain
    for words in ('evaluators miss such objects', 'predictions keep the original', 'labels follow the names'):
        assert f'data: annotation file {coco[0]}/annotations.json' in log
        assert words in log
    predictions = json.loads((tmp_path / 'run' / 'predictions.bbox.json').read_text())
    assert {record['image_id'] for record in predictions} <= {f'photo {i}' for i in range(5)}
    assert predictions


def test_sixteen_bits_and_a_byte_order_mark_are_said(tools, coco, tmp_path):
    root, config = coco
    for path in (root / 'images').glob('*.jpg'):
        grey = np.asarray(Image.open(path).convert('L')).astype(np.uint16) * 16
        Image.fromarray(grey).save(path.with_suffix('.png'))
    tiny.edit(
        root, lambda c: [image.update(file_name=image['file_name'].replace('jpg', 'png')) for image in c['images']]
    )
    path = root / 'annotations.json'
    path.write_bytes(b'\xef\xbb\xbf' + path.read_bytes())
    result = tools.run('train.py', config, '--no-validate', cwd=tmp_path)
    assert result.code == 0, result.err
    assert '16 bits or more a channel' in result.out + result.err
    assert 'byte order mark' in result.out + result.err
    listed = tools.run('misc/check_dataset.py', config, cwd=tmp_path)
    assert listed.code == 0, listed.err
    assert 'note: ' in listed.out
    assert 'to learn' in listed.out


def test_the_tool_lists_all_errors(tools, coco, tmp_path):
    tiny.edit(coco[0], lambda c: (c['annotations'][0].update(area=None), c['annotations'][2].update(bbox=[1, 2])))
    tiny.edit(coco[0], lambda c: c['annotations'][1].update(category_id='ten'))
    result = tools.run('misc/check_dataset.py', coco[1], cwd=tmp_path)
    assert result.code == 2
    assert len(result.errors) == 1
    assert 'wrong: ' in result.out


def folders(tmp_path, *names):
    drawn = tiny.draw_coco(tmp_path / 'coco') / 'images'
    for index, name in enumerate(names):
        for number in range(2):
            (tmp_path / 'images' / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(drawn / f'{(index + number) % 5:03d}.jpg', tmp_path / 'images' / name)
    return tiny.write_classifier(tmp_path, tmp_path / 'images')


def test_a_hidden_folder_is_no_class(tools, tmp_path):
    config = folders(tmp_path, 'a', 'b', '.ipynb_checkpoints')
    result = tools.run('train.py', config, '--no-validate', '--work-dir', 'run', cwd=tmp_path)
    assert result.code == 0, result.err
    assert 'hidden folders .ipynb_checkpoints are no classes' in result.out + result.err
    meta = torch.load(tmp_path / 'run' / 'epoch_1.pth', weights_only=False)['meta']
    assert meta['dataset_meta']['classes'] == ('a', 'b')


@pytest.mark.parametrize('kept', [0, 600])
def test_a_damaged_picture_of_a_classifier_is_named(tools, tmp_path, kept):
    config = folders(tmp_path, 'a', 'b')
    path = next((tmp_path / 'images' / 'b').iterdir())
    path.write_bytes(path.read_bytes()[:kept])
    result = tools.run('train.py', config, '--no-validate', cwd=tmp_path)
    assert result.code == 2, result.err
    assert len(result.errors) == 1
    assert f'image {path} is corrupt' in result.errors[0]
    assert 'Traceback' not in result.err
