"""Real images for tests: in data/ of the clone, or in the folder that MMSPARSESWIN_DATA names."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def cifar10() -> Path:
    """Return the folder of CIFAR-10, or skip the test."""
    folder = _data() / 'cifar10'
    if not any((folder / name).exists() for name in ('test.json', 'cifar-10-batches-py')):
        pytest.skip(
            'no CIFAR-10 in data/cifar10: train any CIFAR-10 config for an epoch, which downloads it, or name the '
            'folder that holds cifar10/ in MMSPARSESWIN_DATA'
        )
    return folder


def coco_mini() -> Path:
    """Return the folder of a few images of COCO, or skip the test."""
    folder = _data() / 'coco_mini'
    if not (folder / 'annotations/instances_val2017.json').is_file():
        pytest.skip(
            'no part of COCO in data/coco_mini: put some images of val2017 there with their annotations, in the layout '
            'of COCO, or name the folder that holds coco_mini/ in MMSPARSESWIN_DATA'
        )
    return folder


def labelled(name: str) -> Path:
    """Return the folder of bccd or nuclei, or skip the test."""
    folder = _data() / name
    if not (folder / 'annotations/instances_val.json').is_file():
        pytest.skip(
            f'no {name} in data/{name}: configs/_base_/datasets/{name}.py says where it is public and how it is '
            f'converted; or name the folder that holds {name}/ in MMSPARSESWIN_DATA'
        )
    return folder


def _data() -> Path:
    return Path(os.environ.get('MMSPARSESWIN_DATA') or ROOT / 'data')
