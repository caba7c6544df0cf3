"""docs/features.md promises nothing without a test, and its commands exist."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config
from pages import check_command

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / 'docs' / 'features.md').read_text(encoding='utf-8')
ROWS = [
    [cell.strip() for cell in line.strip('| \n').split(' | ')]
    for line in re.sub(r'\| \|', '| - |', re.sub(r'\| \|', '| - |', PAGE)).splitlines()
    if re.match(r'\| [^|]+ \| [YPN] \|', line)
]


def test_the_page_has_the_rows():
    assert len(ROWS) > 65
    assert {len(row) for row in ROWS} == {4}
    assert len({row[0] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row[0])
def test_what_is_there_has_a_test_and_what_is_not_a_reason(row):
    _, answer, command, proof = row
    named = re.findall(r'`(tests/[\w/]+\.py)`', proof)
    if answer == 'N':
        assert not named
        assert command == '-'
        assert len(proof) > 8
    else:
        assert len(command) > 3
        assert named
        assert [path for path in named if 'def test_' not in (ROOT / path).read_text(encoding='utf-8')] == []


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row[0])
def test_commands_exist(row):
    for command in re.findall(r'`([^`]+)`', row[2]):
        check_command(command)


def test_tensorboard_gets_the_curves(tmp_path):
    """The backends of all three runtimes of the configs, written to as a training does."""
    from mmengine.registry import init_default_scope
    from mmengine.visualization import Visualizer

    for runtime in ('default', 'classification', 'generation'):
        backends = Config.fromfile(ROOT / 'configs' / '_base_' / f'{runtime}_runtime.py').vis_backends
        assert {'type': 'TensorboardVisBackend'} in [dict(backend) for backend in backends]
    init_default_scope('mmengine')
    visualizer = Visualizer(name='curves', vis_backends=backends, save_dir=str(tmp_path))
    visualizer.add_scalar('loss', 1.5, step=1)
    visualizer.close()
    assert len(list(tmp_path.rglob('events.out.tfevents*'))) == 1
