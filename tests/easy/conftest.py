import json
from pathlib import Path

import pytest

import mmsparseswin
from mmsparseswin.easy import Model
from tools import tiny


@pytest.fixture(scope='session')
def folder(tmp_path_factory) -> Path:
    """A data set in COCO's layout, of other classes than the config's."""
    root = tmp_path_factory.mktemp('own')
    tiny.draw_coco(root / 'data')
    content = json.loads((root / 'data/annotations.json').read_text())
    for category, name in zip(content['categories'], ('plate', 'cup'), strict=True):
        category['name'] = name
    content['categories'].append(dict(id=99, name='fork'))
    for split in ('train', 'val'):
        path = root / f'data/annotations/instances_{split}.json'
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    (root / 'data/annotations.json').unlink()
    return root


@pytest.fixture(scope='session')
def model(folder) -> Model:
    """A detector trained for one epoch on `folder`."""
    config = tiny.write_detector(folder, folder / 'data')
    loaded = mmsparseswin.load(config)
    assert loaded.train(data=folder / 'data', epochs=1, work_dir=folder / 'run') is loaded
    return loaded
