"""Test the command `mmsparseswin`: its list, its tools and its errors, in a clone and in a wheel."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmsparseswin.command import COMMANDS

ROOT = Path(__file__).parents[1]
TOOLS = sorted(
    str(path.relative_to(ROOT / 'tools'))
    for path in (ROOT / 'tools').rglob('*.py')
    if path.name != 'launch.py' and 'dev' not in path.parts
)
HEAVY = ('torch', 'mmdet', 'mmpretrain', 'mmcv', 'transformers')


def call(*args: str, cwd: Path = ROOT, package: Path = ROOT) -> subprocess.CompletedProcess:
    env = {**os.environ, 'PYTHONPATH': str(package)}
    command = [sys.executable, '-m', 'mmsparseswin', *args]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)


def test_help_lists_every_command_in_one_line():
    done = call('--help')
    assert done.returncode == 0
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith('  ')]
    assert [line[0] for line in lines] == list(COMMANDS)
    assert all(len(line) > 2 for line in lines)
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert call().stdout == done.stdout


def test_every_tool_is_a_command():
    assert {target for target, _ in COMMANDS.values()} == {'launch.py', 'mmsparseswin.doctor', *TOOLS}


@pytest.mark.parametrize(
    ('name', 'near'), [('trian', 'train'), ('Test', 'test'), ('shapes', 'draw-shapes'), ('extract', 'extract-features')]
)
def test_a_misspelt_command_ends_in_one_line_that_names_the_nearest(name, near):
    done = call(name)
    assert done.returncode == 2
    assert done.stderr == (
        f'error: mmsparseswin has no command {name!r}; did you mean {near}? mmsparseswin --help lists them\n'
    )


def test_the_version():
    import mmsparseswin

    assert call('--version').stdout == f'mmsparseswin {mmsparseswin.__version__}\n'


def test_the_script_is_declared():
    tomllib = pytest.importorskip('tomllib')  # Python 3.11 and later
    scripts = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['scripts']
    assert scripts == {'mmsparseswin': 'mmsparseswin.command:main'}


@pytest.mark.parametrize('command', [['--help'], *([name, '--help'] for name in COMMANDS)], ids=' '.join)
def test_help_needs_no_library_and_names_the_command(command):
    code = f"""
import sys
from mmsparseswin.command import main
try:
    main({command})
except SystemExit as stop:
    assert not stop.code
print([m for m in {HEAVY} if m in sys.modules])
"""
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == '[]'
    assert done.stdout.startswith(f'usage: mmsparseswin {"COMMAND" if command == ["--help"] else command[0]} ')


@pytest.mark.parametrize('tool', TOOLS)
def test_help_of_a_file_needs_no_library(tool):
    code = f"""
import runpy, sys
sys.argv = [{tool!r}, '--help']
try:
    runpy.run_path('tools/{tool}', run_name='__main__')
except SystemExit as stop:
    assert not stop.code
print([m for m in {HEAVY} if m in sys.modules])
"""
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ['[]'], done.stderr
    assert done.stdout.startswith(f'usage: {Path(tool).name} ')


def test_exit_codes_and_errors_are_the_tools_own(tmp_path):
    done = call('train', 'none.py', cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, 'error: no config at none.py\n')
    assert call('train', cwd=tmp_path).returncode == 2
    assert call('dist-test', 'CONFIG', 'CHECKPOINT', cwd=tmp_path).stderr.startswith(
        'error: usage: mmsparseswin dist-test CONFIG CHECKPOINT GPUS'
    )
    assert 'must be a whole number' in call('dist-train', 'CONFIG', 'two', cwd=tmp_path).stderr


@pytest.fixture
def wheel(tmp_path) -> Path:
    """Make a folder like site-packages, with the package as a wheel lays it out, and nothing of the clone around it."""
    package = tmp_path / 'site' / 'mmsparseswin'
    ignore = shutil.ignore_patterns('__pycache__', '.mim')
    shutil.copytree(ROOT / 'mmsparseswin', package, ignore=ignore)
    for name in ('tools', 'configs'):
        shutil.copytree(ROOT / name, package / '.mim' / name, ignore=ignore)
    return package.parent


def test_a_wheel_runs_its_own_tools_and_writes_nothing_into_itself(wheel, tmp_path):
    before = sorted(path for path in wheel.rglob('*') if '__pycache__' not in path.parts)
    folder = tmp_path / 'elsewhere'
    folder.mkdir()
    done = call('draw-shapes', 'data/shapes', '--images', '2', '1', '--size', '64', cwd=folder, package=wheel)
    assert done.returncode == 0, done.stderr
    assert done.stdout == 'data/shapes: 2 + 1 pictures drawn\n'
    code = "from mmsparseswin import locations; print(locations.folder('configs'), locations.folder('tools'))"
    env = {**os.environ, 'PYTHONPATH': str(wheel)}
    found = subprocess.run([sys.executable, '-c', code], cwd=folder, env=env, capture_output=True, text=True).stdout
    assert found.split() == [str(wheel / 'mmsparseswin/.mim' / name) for name in ('configs', 'tools')]
    assert sorted(path for path in wheel.rglob('*') if '__pycache__' not in path.parts) == before


@pytest.fixture
def quickstart(tmp_path, monkeypatch):
    """Run the quickstart in an empty folder with fake tools; `calls` lists those that ran."""
    spec = importlib.util.spec_from_file_location('quickstart', ROOT / 'tools' / 'quickstart.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    calls = []

    def run(tool, *args):
        calls.append([tool, *map(str, args)])
        if tool.endswith('draw_shapes.py'):
            (module.DATA / 'annotations').mkdir(parents=True, exist_ok=True)
            (module.DATA / 'annotations' / 'instances_val.json').write_text('{}')
        elif tool == 'launch.py':
            (module.WORK / 'last_checkpoint').write_text('epoch_8.pth')
        else:
            scores = {'coco/bbox_mAP': 0.51, 'coco/segm_mAP': 0.4567}
            (module.WORK / 'metrics.json').write_text(json.dumps(scores))

    monkeypatch.setattr(module, 'run', run)
    monkeypatch.setattr(sys, 'argv', ['quickstart.py'])
    monkeypatch.chdir(tmp_path)
    module.calls = calls
    return module


def test_quickstart_ends_with_its_scores_and_uses_again_what_is_there(quickstart, capsys):
    quickstart.main()
    last = 'bbox_mAP=0.510 segm_mAP=0.457 pictures=work_dirs/quickstart/pictures'
    assert capsys.readouterr().out.splitlines()[-1] == last
    draw, train, test = quickstart.calls
    assert draw[:2] == ['dataset_tools/draw_shapes.py', 'data/shapes']
    assert train[3].endswith('configs/quickstart/cascade_sparseswin_shapes.py')
    assert {'--resume', '--no-validate', 'work_dirs/quickstart'} <= set(train)
    assert test[2] == 'epoch_8.pth'
    quickstart.main()
    assert [call[0] for call in quickstart.calls[3:]] == ['dataset_tools/draw_shapes.py']
    assert capsys.readouterr().out.splitlines()[-1] == last


def test_quickstart_goes_on_with_an_interrupted_training_in_the_same_folder(quickstart, tmp_path):
    quickstart.main()
    for name in ('finished', 'metrics.json'):
        (quickstart.WORK / name).unlink()
    (quickstart.WORK / 'epoch_3.pth').touch()
    quickstart.main()
    assert [call[0] for call in quickstart.calls[4:]] == ['launch.py', 'test.py']
    assert (quickstart.WORK / 'epoch_3.pth').exists()
    assert len(list((tmp_path / 'work_dirs').iterdir())) == 1


def test_results_of_other_settings_make_way_and_are_kept(quickstart, tmp_path):
    quickstart.main()
    (quickstart.WORK / 'settings').write_text('other\n')
    quickstart.main()
    assert [call[0] for call in quickstart.calls[3:]] == ['dataset_tools/draw_shapes.py', 'launch.py', 'test.py']
    assert len(list((tmp_path / 'work_dirs').glob('quickstart.*/finished'))) == 1


def test_a_step_that_fails_ends_the_quickstart_with_its_exit_code(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location('quickstart', ROOT / 'tools' / 'quickstart.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(SystemExit) as stop:
        module.run('dataset_tools/draw_shapes.py', tmp_path / 'x', '--size', '1')
    assert stop.value.code == 2
