import json
from pathlib import Path

import numpy as np
import pytest
from mmpretrain.registry import DATASETS
from PIL import Image
from real_data import cifar10

from mmsparseswin.classification.imagenet100 import read_class_list
from mmsparseswin.errors import InputError

SPLITS = {'train': 12, 'test': 5}  # pictures of a small MNIST


def write_sheet(folder: Path, name: str, images: np.ndarray, labels: list[int], cols: int) -> None:
    """Write a sheet tile by tile, by the description of the format."""
    side = images.shape[1]
    sheet = np.zeros((-(-len(images) // cols) * side, cols * side, 3), np.uint8)
    for k, image in enumerate(images):
        y, x = k // cols * side, k % cols * side
        sheet[y : y + side, x : x + side] = image
    Image.fromarray(sheet).save(folder / f'{name}.webp', lossless=True)
    meta = {'n': len(images), 'cols': cols, 'classes': ['a', 'b', 'c'], 'labels': labels}
    (folder / f'{name}.json').write_text(json.dumps(meta))


@pytest.fixture
def sheets(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (11, 8, 8, 3), dtype=np.uint8)
    write_sheet(tmp_path, 'train_1', images[:6], [0, 1, 2, 0, 1, 2], cols=3)
    write_sheet(tmp_path, 'train_2', images[6:], [2, 2, 1, 0, 0], cols=2)  # the last row is not full
    write_sheet(tmp_path, 'test', images[:2], [0, 1], cols=2)
    return tmp_path, images


@pytest.mark.parametrize('kind', ['mmsparseswin.PackedCIFAR', 'mmsparseswin.CIFAR10', 'mmsparseswin.CIFAR100'])
def test_sheets_are_read_in_order_and_lossless(sheets, kind):
    root, images = sheets
    data = DATASETS.build(dict(type=kind, data_root=str(root), split='train'))
    assert len(data) == 11
    assert data.metainfo['classes'] == ('a', 'b', 'c')
    assert all(np.array_equal(data[i]['img'], images[i]) for i in range(11))
    assert [data[i]['gt_label'] for i in range(11)] == [0, 1, 2, 0, 1, 2, 2, 2, 1, 0, 0]
    assert data[3]['ori_shape'] == (8, 8)
    assert len(DATASETS.build(dict(type=kind, data_root=str(root), split='test'))) == 2


@pytest.mark.parametrize('kind', ['mmsparseswin.PackedMNIST', 'mmsparseswin.MNIST'])
def test_packed_mnist_is_read(tmp_path, kind):
    rng = np.random.default_rng(0)
    arrays = {f'{split}_images': rng.integers(0, 256, (n, 28, 28), dtype=np.uint8) for split, n in SPLITS.items()}
    labels = {f'{split}_labels': np.arange(n, dtype=np.uint8) % 10 for split, n in SPLITS.items()}
    np.savez(tmp_path / 'mnist.npz', **arrays, **labels)
    for split, n in SPLITS.items():
        data = DATASETS.build(dict(type=kind, data_root=str(tmp_path), split=split, pipeline=[dict(type='PackInputs')]))
        assert len(data) == n
        assert len(data.metainfo['classes']) == 10
        item = data[3]
        assert np.array_equal(item['inputs'].numpy(), arrays[f'{split}_images'][3][None])
        assert int(item['data_samples'].gt_label) == 3


@pytest.mark.parametrize(
    'arrays',
    [
        {},
        {'train_images': np.zeros((2, 28, 28), np.uint8)},
        {'train_images': np.zeros((2, 32, 32), np.uint8), 'train_labels': np.zeros(2)},
        {'train_images': np.zeros((2, 28, 28), np.uint8), 'train_labels': np.array([0, 10])},
        {'train_images': np.zeros((2, 28, 28), np.float32), 'train_labels': np.zeros(2)},
        {'train_images': np.zeros((2, 28, 28), np.uint8), 'train_labels': np.zeros(3)},
    ],
)
def test_a_packed_mnist_that_is_none_is_refused_in_one_line(tmp_path, arrays):
    np.savez(tmp_path / 'mnist.npz', **arrays)
    with pytest.raises(InputError, match='train_images') as error:
        DATASETS.build(dict(type='mmsparseswin.MNIST', data_root=str(tmp_path), split='train'))
    assert '\n' not in str(error.value)


def test_no_mnist_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r'mnist\.npz'):
        DATASETS.build(dict(type='mmsparseswin.PackedMNIST', data_root=str(tmp_path), split='train'))
    with pytest.raises(InputError, match="'val' is unknown"):
        DATASETS.build(dict(type='mmsparseswin.PackedMNIST', data_root=str(tmp_path), split='val'))


def test_a_part_of_the_images_keeps_its_pixels_and_writing_into_one_spares_the_rest(sheets):
    root, images = sheets
    data = DATASETS.build(dict(type='mmsparseswin.PackedCIFAR', data_root=str(root), split='train', indices=[9, 4]))
    assert np.array_equal(data[0]['img'], images[9])
    data[0]['img'][:] = 0
    assert np.array_equal(data[0]['img'], images[9])
    assert np.array_equal(data[-1]['img'], images[4])


def test_bad_sheets_are_named(sheets, tmp_path):
    root, _ = sheets
    build = dict(type='mmsparseswin.PackedCIFAR', data_root=str(root), split='train')
    with pytest.raises(InputError, match="split 'val' is unknown"):
        DATASETS.build(dict(build, split='val'))
    with pytest.raises(InputError, match=r'no sheets in .*nowhere'):
        DATASETS.build(dict(build, data_root=str(tmp_path / 'nowhere')))
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(root / 'train_2.webp', lossless=True)
    with pytest.raises(InputError, match=r'train_2.webp is 8 x 8 pixels, which is not 5 square tiles in rows of 2'):
        DATASETS.build(build)
    (root / 'train_2.webp').unlink()
    with pytest.raises(InputError, match=r'no sheet .*train_2.webp'):
        DATASETS.build(build)
    meta = json.loads((root / 'train_2.json').read_text())
    (root / 'train_2.json').write_text(json.dumps(dict(meta, labels=[1])))
    with pytest.raises(InputError, match='not one label for each'):
        DATASETS.build(build)


def test_without_any_cifar_the_remedy_is_said(tmp_path, monkeypatch):
    from urllib.error import URLError

    def refuse(*args, **kwargs):
        raise URLError('no network')

    monkeypatch.setattr('mmpretrain.datasets.cifar.download_and_extract_archive', refuse)
    with pytest.raises(InputError, match=r'no CIFAR10 in .* cifar-10-batches-py/ or packed sheets'):
        DATASETS.build(dict(type='mmsparseswin.CIFAR10', data_root=str(tmp_path), split='train'))


def test_the_real_test_images_of_cifar10():
    data = DATASETS.build(dict(type='mmsparseswin.CIFAR10', data_root=str(cifar10()), split='test'))
    assert np.bincount([data.get_data_info(i)['gt_label'] for i in range(0, 10000)]).tolist() == [1000] * 10
    assert data.metainfo['classes'][3] == 'cat'
    assert data[0]['img'].shape == (32, 32, 3)
    first = [data.get_data_info(i) for i in range(2000)]
    ships = np.stack([info['img'] for info in first if info['gt_label'] == 8]).mean((0, 1, 2))
    assert ships[2] > ships[0]  # RGB: sea and sky are blue


def wnids(count: int = 100) -> list[str]:
    return [f'n{1440764 + 7 * k:08d}' for k in range(count)]


def write_imagenet(root: Path, split: str, ids: list[str]) -> None:
    for wnid in ids:
        (root / split / wnid).mkdir(parents=True)
        (root / split / wnid / f'{wnid}_1.JPEG').write_bytes(b'')


def test_imagenet100_numbers_classes_by_wordnet_id(tmp_path):
    ids = wnids(102)
    listed = ids[1:101]
    (tmp_path / 'Labels.json').write_text(json.dumps({wnid: f'thing {wnid}' for wnid in reversed(listed)}))
    write_imagenet(tmp_path, 'train.X1', ids[:40])  # n0, not listed, is left out
    write_imagenet(tmp_path, 'train.X2', ids[40:])
    write_imagenet(tmp_path, 'val.X', listed)
    write_imagenet(tmp_path, 'training', listed)  # another folder that starts alike
    data = DATASETS.build(dict(type='mmsparseswin.ImageNet100', data_root=str(tmp_path), split='train'))
    assert len(data) == 100
    infos = [data.get_data_info(i) for i in range(100)]
    assert [info['gt_label'] for info in infos] == list(range(100))
    assert [Path(info['img_path']).parent.name for info in infos] == listed
    assert data.metainfo['classes'][0] == f'thing {listed[0]}'
    val = DATASETS.build(dict(type='mmsparseswin.ImageNet100', data_root=str(tmp_path), split='val'))
    assert 'val.X' in val.get_data_info(0)['img_path']


def test_imagenet100_reads_a_text_list_with_or_without_names(tmp_path):
    path = tmp_path / 'classes.txt'
    path.write_text('\n'.join([f'{wnids()[0]} tench, a fish', *reversed(wnids()[1:])]) + '\n\n')
    names = read_class_list(path)
    assert list(names) == wnids()
    assert names[wnids()[0]] == 'tench, a fish'
    assert names[wnids()[1]] == wnids()[1]


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('\n'.join(wnids(99)), 'lists 99 classes'),
        ('\n'.join(wnids(99) + wnids(1)), 'lists 100 classes, 99 of them different'),
        ('\n'.join([*wnids(99), 'tench']), "'tench' is no WordNet id"),
    ],
)
def test_a_wrong_class_list_is_refused(tmp_path, text, words):
    (tmp_path / 'classes.txt').write_text(text)
    with pytest.raises(InputError, match=words):
        read_class_list(tmp_path / 'classes.txt')


def test_a_missing_class_list_or_class_is_named(tmp_path):
    with pytest.raises(InputError, match=r'no list of the hundred classes at .*Labels.json'):
        DATASETS.build(dict(type='mmsparseswin.ImageNet100', data_root=str(tmp_path)))
    (tmp_path / 'Labels.json').write_text(json.dumps(wnids()))
    write_imagenet(tmp_path, 'train', wnids(99))
    with pytest.raises(InputError, match=f'class {wnids()[-1]} has no images'):
        DATASETS.build(dict(type='mmsparseswin.ImageNet100', data_root=str(tmp_path)))
