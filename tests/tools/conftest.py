import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import tiny
from forked_tools import Result, Zygote


@pytest.fixture(scope='session')
def tools():
    forked_tools = Zygote()
    yield forked_tools
    forked_tools.close()


class Trained(NamedTuple):
    folder: Path
    config: Path
    checkpoint: Path
    result: Result


@pytest.fixture(scope='session')
def detector(tools, tmp_path_factory) -> Trained:
    """A detector trained for one epoch by tools/train.py."""
    folder = tmp_path_factory.mktemp('detector')
    config = tiny.write_detector(folder, tiny.draw_coco(folder / 'coco'))
    result = tools.run('train.py', config, '--work-dir', 'run', cwd=folder)
    return Trained(folder, config, folder / 'run' / 'epoch_1.pth', result)


@pytest.fixture(scope='session')
def classifier(tools, tmp_path_factory) -> Trained:
    """A classifier trained for one epoch by tools/train.py, under bfloat16 autocast."""
    folder = tmp_path_factory.mktemp('classifier')
    drawn = tiny.draw_coco(folder / 'coco') / 'images'
    for index, name in enumerate('abab'):
        (folder / 'images' / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(drawn / f'{index:03d}.jpg', folder / 'images' / name)
    config = tiny.write_classifier(folder, folder / 'images')
    result = tools.run('train.py', config, '--amp', cwd=folder)
    return Trained(folder, config, folder / 'work_dirs' / 'classifier' / 'epoch_1.pth', result)


@pytest.fixture
def coco(tmp_path) -> tuple[Path, Path]:
    """A data set to spoil, see tiny.edit, and the config of a detector on it."""
    root = tiny.draw_coco(tmp_path / 'coco')
    return root, tiny.write_detector(tmp_path, root)
