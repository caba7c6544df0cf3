"""The three places that name versions agree."""

import re
from pathlib import Path

import pytest

tomllib = pytest.importorskip('tomllib')  # Python 3.11 and later


ROOT = Path(__file__).parents[1]


@pytest.fixture(scope='module')
def locked() -> dict[str, set[str]]:
    versions: dict[str, set[str]] = {}
    for package in tomllib.loads((ROOT / 'uv.lock').read_text())['package']:
        versions.setdefault(package['name'], set()).add(package.get('version', ''))
    return versions


def test_requirements_are_those_of_the_lock(locked):
    pins = re.findall(r'^([\w.-]+)==(\S+)', (ROOT / 'requirements.txt').read_text(), re.MULTILINE)
    assert len(pins) > 50
    assert [(name, version) for name, version in pins if version not in locked.get(name, ())] == []


def test_every_pin_is_locked_and_every_dependency_required(locked):
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    required = (ROOT / 'requirements.txt').read_text()
    for dependency in project['dependencies']:
        name, _, version = dependency.partition('==')
        name = re.split(r'[<>=]', name)[0]
        assert f'\n{name}==' in required, name
        assert not version or version in locked[name]


def test_only_one_opencv_is_installed(locked):
    assert 'opencv-python' not in locked
    assert 'opencv-python-headless' in locked
