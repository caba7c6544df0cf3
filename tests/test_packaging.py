"""Test that all files name one version and that the built wheel contains all an installation needs."""

import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import yaml

tomllib = pytest.importorskip('tomllib')  # Python 3.11 and later


ROOT = Path(__file__).parents[1]
# Packages that uv leaves out and pip always installs.
OTHER_OPENCV = {'opencv-python', 'opencv-python-headless'}
FOR_CLONES = {'setup_env.sh', 'quickstart.sh', 'run_tests.sh'}


@pytest.fixture(scope='module')
def lock() -> dict[str, list[dict]]:
    packages: dict[str, list[dict]] = {}
    for package in tomllib.loads((ROOT / 'uv.lock').read_text())['package']:
        packages.setdefault(package['name'], []).append(package)
    return packages


@pytest.fixture(scope='module')
def project() -> dict:
    return tomllib.loads((ROOT / 'pyproject.toml').read_text())


@pytest.fixture(scope='module')
def pins() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r'^([\w.-]+)==(\S+)', (ROOT / 'requirements.txt').read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def needed(lock: dict[str, list[dict]]) -> set[str]:
    """Everything that the project needs without extras, and what that needs."""
    names, queue = set(), [('mmsparseswin', '')]
    while queue:
        name, extra = queue.pop()
        for package in lock[name]:
            entries = (
                package.get('optional-dependencies', {}).get(extra, []) if extra else package.get('dependencies', [])
            )
            for entry in entries:
                new = {(entry['name'], ''), *((entry['name'], one) for one in entry.get('extra', ()))} - names
                names |= new
                queue += new
    return {name for name, _ in names}


def test_requirements_are_those_of_the_lock(lock, pins):
    versions = {name: {package['version'] for package in lock[name]} for name in needed(lock)}
    assert len(versions) > 50
    assert {name: pins[name] for name in pins.keys() - OTHER_OPENCV} == versions


def test_requirements_have_every_opencv_in_one_version_and_the_project_last(pins):
    assert len({version for name in pins if name.startswith('opencv') for version in pins[name]}) == 1
    assert pins.keys() >= {*OTHER_OPENCV, 'opencv-contrib-python-headless'}
    lines = (ROOT / 'requirements.txt').read_text().splitlines()
    assert lines[-1] == '-e .'
    assert not [line for line in lines[:-1] if line.startswith('-')]  # no options, no second step


def test_one_opencv_is_locked_the_one_that_pip_installs_last(lock):
    builds = [name for name in lock if name.startswith('opencv')]
    assert builds == ['opencv-contrib-python-headless']
    # pip installs packages of one rank in descending order of their names.
    assert min([*OTHER_OPENCV, *builds]) == builds[0]


def test_the_lock_obeys_the_ranges(lock, project):
    from packaging.requirements import Requirement

    for requirement in map(Requirement, project['project']['dependencies']):
        versions = [package['version'] for package in lock[requirement.name]]
        assert all(requirement.specifier.contains(version) for version in versions), requirement


def test_classifiers_name_the_pythons_of_the_range(project):
    from packaging.specifiers import SpecifierSet

    wanted = SpecifierSet(project['project']['requires-python'])
    named = {line.rpartition(' ')[2] for line in project['project']['classifiers'] if ':: 3.' in line}
    assert named == {f'3.{minor}' for minor in range(30) if wanted.contains(f'3.{minor}')}


def test_the_model_index_names_every_metafile():
    metafiles = {str(path.relative_to(ROOT)) for path in (ROOT / 'configs').rglob('metafile.yml')}
    assert set(yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']) == metafiles
    models = [model for path in metafiles for model in yaml.safe_load((ROOT / path).read_text())['Models']]
    names = [model['Name'] for model in models]
    assert len(names) == len(set(names))
    assert [model['Config'] for model in models if not (ROOT / model['Config']).is_file()] == []


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The wheel, built by the project's own back end; it is part of the extra `dev`, so no network is needed."""
    pytest.importorskip('hatchling')
    folder = tmp_path_factory.mktemp('dist')
    command = [sys.executable, '-m', 'hatchling', 'build', '-t', 'wheel', '-d', str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob('*.whl')
    return zipfile.ZipFile(path)


def tracked(*folders: str) -> set[str]:
    return set(subprocess.check_output(['git', 'ls-files', *folders], cwd=ROOT, text=True).split())


def test_the_wheel_carries_package_configs_tools_and_nothing_else(wheel):
    names = {name for name in wheel.namelist() if '.dist-info/' not in name}
    package = {name for name in tracked('mmsparseswin') if '/.mim/' not in name}
    package = package - {'mmsparseswin/mmcv_ops/_ext.py'} | {'mmcv/_ext.py'}  # it is installed there
    tools = {name for name in tracked('tools') if Path(name).name not in FOR_CLONES and '/dev/' not in name}
    mim = {f'mmsparseswin/.mim/{name}' for name in tracked('configs') | tools | {'model-index.yml'}}
    assert package | mim <= names
    assert 'mmsparseswin/py.typed' in names
    # The rest is what is not committed yet, and mmcv's operators.
    assert {name.split('/')[0] for name in names} == {'mmsparseswin', 'mmcv'}
    assert not [name for name in names if FOR_CLONES & set(name.split('/')) or '/.mim/tools/dev/' in name]
    (licence,) = (name for name in wheel.namelist() if name.endswith('.dist-info/licenses/LICENSE'))
    assert wheel.read(licence) == (ROOT / 'LICENSE').read_bytes()


def test_the_page_on_pypi_has_no_relative_link(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith('.dist-info/METADATA'))
    page = Parser().parsestr(wheel.read(name).decode())
    links = re.findall(r'\]\(([^)\s]+)', page.get_payload())
    assert len(links) > 10
    assert [link for link in links if not link.startswith(('https://', '#'))] == []
    pictures = re.findall(r'!\[[^\]]*\]\(([^)\s]+)', page.get_payload())
    assert pictures
    assert all(picture.startswith('https://raw.githubusercontent.com/') for picture in pictures)
    root = 'https://github.com/mmsparseswin/mmsparseswin/blob/main/'
    files = [link.removeprefix(root).partition('#')[0] for link in links if link.startswith(root)]
    assert [file for file in files if not (ROOT / file).exists()] == []
    urls = {line.partition(',')[0] for line in page.get_all('Project-URL')}
    assert {'Homepage', 'Repository', 'Documentation', 'Changelog', 'Issues'} <= urls
