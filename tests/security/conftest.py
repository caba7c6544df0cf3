import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / 'tools'))

import damaged
import hostile
import tiny
from forked_tools import Zygote
from routes import Routes, reset_scope

from mmsparseswin.engine.safe_reader import install_safe_reader


@pytest.fixture(scope='session')
def tools():
    forked_tools = Zygote()
    yield forked_tools
    forked_tools.close()


class Made(NamedTuple):
    folder: Path
    detector: Path  # configs
    classifier: Path
    checkpoint: Path
    canary: Path
    hostile: list[Path]
    damaged: list[Path]
    resume: list[Path]


@pytest.fixture(scope='session')
def made(tools, tmp_path_factory) -> Made:
    """A checkpoint that tools/train.py wrote, and every bad file made from it."""
    folder = tmp_path_factory.mktemp('security')
    detector = tiny.write_detector(folder, tiny.draw_coco(folder / 'coco'), EXTRA)
    for name in 'ab':
        (folder / 'images' / name).mkdir(parents=True)
        shutil.copy(folder / 'coco/images/000.jpg', folder / 'images' / name)
    classifier = tiny.write_classifier(folder, folder / 'images')
    result = tools.run('train.py', detector, '--work-dir', 'run', '--no-validate', cwd=folder)
    assert result.code == 0, result.err
    checkpoint, canary = folder / 'run/epoch_1.pth', folder / 'canary'
    files = []
    for kind in ('hostile', 'damaged', 'resume'):
        (folder / kind).mkdir()
    files.append(hostile.write_all(folder / 'hostile', checkpoint, canary))
    files.append(damaged.write_all(folder / 'damaged', checkpoint))
    files.append(damaged.write_resume(folder / 'resume', checkpoint))
    canary.unlink(missing_ok=True)
    return Made(folder, detector, classifier, checkpoint, canary, *files)


EXTRA = "param_scheduler = [dict(type='MultiStepLR', milestones=[1], by_epoch=True)]\n"


@pytest.fixture(scope='session')
def _routes(made) -> Routes:
    return Routes(made.detector, made.classifier, made.folder / 'work')


@pytest.fixture
def routes(_routes):
    reset_scope()
    install_safe_reader()
    return _routes.all()
