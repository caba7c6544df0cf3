import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmsparseswin import doctor, installation
from mmsparseswin.installation import Installation


def by_name(findings) -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in findings}


def install_as(monkeypatch, how: Installation) -> None:
    monkeypatch.setattr(doctor, 'installation', lambda: how)


def test_the_report_of_this_machine_as_json():
    done = subprocess.run([sys.executable, '-m', 'mmsparseswin.doctor', '--json'], capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report['ok'] else 1)
    found = {finding['name']: finding for finding in report['findings']}
    assert {
        'torch',
        'onedl-mmcv',
        'cv2',
        'torchvision operators',
        'mmcv operators',
        'mmdet registry',
        'mmpretrain registry',
        'free port',
    } <= found.keys()
    assert 'mmsparseswin.SparseSwin and mmsparseswin.Swin' in found['mmdet registry']['value']
    road = 'by torchvision' if doctor.import_module('mmcv._ext').__file__.endswith('.py') else 'compiled with'
    assert road in found['mmcv operators']['value']
    assert all(finding['remedy'] for finding in found.values() if finding['state'] != 'ok')


def test_a_twin_beside_the_forks_is_a_problem(tmp_path, monkeypatch):
    install_as(monkeypatch, Installation('pip'))
    (tmp_path / 'mmcv-2.2.0.dist-info').mkdir()
    (tmp_path / 'mmcv-2.2.0.dist-info' / 'METADATA').write_text('Metadata-Version: 2.1\nName: mmcv\nVersion: 2.2.0\n')
    monkeypatch.syspath_prepend(tmp_path)
    finding = by_name(doctor.check_twins())['mmcv']
    assert finding.state == 'bad'
    assert 'pip uninstall -y mmcv && ' in finding.remedy
    assert '--force-reinstall --no-deps onedl-mmcv==' in finding.remedy


@pytest.mark.parametrize(
    ('message', 'words', 'package'),
    [
        ("No module named 'mmcv._ext'", 'No module named', 'mmsparseswin'),
        ('_ext.so: undefined symbol: _ZN2at4_ops', 'built for another torch', 'onedl-mmcv'),
    ],
)
def test_operators_that_do_not_load_are_a_problem_with_a_remedy(monkeypatch, message, words, package):
    def fail(name: str):
        raise ImportError(message)

    install_as(monkeypatch, Installation('uv', Path('/a clone'), locked=True))
    monkeypatch.setattr(doctor, 'import_module', fail)
    finding = by_name(doctor.check_mmcv())['mmcv operators']
    assert finding.state == 'bad'
    assert words in finding.value
    assert finding.remedy == f"cd '/a clone' && uv sync --frozen --inexact --reinstall-package {package}"


def test_a_compiled_mmcv_without_cuda_on_a_machine_with_a_gpu_is_a_problem(monkeypatch):
    import torch

    operators = SimpleNamespace(
        nms=lambda *args: None,
        get_compiler_version=lambda: 'GCC 12',
        get_compiling_cuda_version=lambda: 'not available',
        __file__='mmcv/_ext.cpython-311.so',
    )
    install_as(monkeypatch, Installation('pip'))
    monkeypatch.setattr(doctor, 'import_module', lambda name: operators)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    found = by_name(doctor.check_mmcv())
    assert found['mmcv operators'].value.startswith('compiled with GCC 12')
    assert found['mmcv on the GPU'].state == 'bad'
    assert 'onedl-mmcv' in found['mmcv on the GPU'].remedy


def test_builds_of_opencv(monkeypatch):
    def no_gl(name: str):
        raise ImportError('libGL.so.1: cannot open shared object file')

    install_as(monkeypatch, Installation('pip'))
    versions = {'opencv-contrib-python-headless': '4.12.0.88', 'opencv-python': '5.0.0.93'}
    monkeypatch.setattr(doctor, 'installed_version', versions.get)
    mixture = by_name(doctor.check_opencv())['cv2']
    assert mixture.state == 'note'
    assert 'opencv-python 5.0.0.93' in mixture.value
    monkeypatch.setattr(doctor, 'import_module', no_gl)
    broken = by_name(doctor.check_opencv())['cv2']
    assert broken.state == 'bad'
    assert 'libGL.so.1' in broken.value
    assert '--no-deps opencv-contrib-python-headless' in broken.remedy


def test_torchvision_of_another_torch_is_a_problem(monkeypatch):
    def fail(name: str):
        raise RuntimeError('operator torchvision::nms does not exist')

    install_as(monkeypatch, Installation('pip'))
    monkeypatch.setattr(doctor, 'import_module', fail)
    finding = by_name(doctor.check_torchvision())['torchvision operators']
    assert finding.state == 'bad'
    assert finding.remedy.endswith('pip install --upgrade torch torchvision')


def test_a_version_out_of_range_is_a_note_and_a_missing_package_a_problem(monkeypatch):
    installed = doctor.installed_version
    versions = {'pycocotools': None, 'torch': '2.4.0'}
    monkeypatch.setattr(doctor, 'installed_version', lambda name: versions.get(name, installed(name)))
    install_as(monkeypatch, Installation('pip'))
    found = by_name(doctor.check_versions())
    assert (found['torch'].state, found['pycocotools'].state) == ('note', 'bad')
    assert '>=2.6' in found['torch'].value
    assert found['torch'].remedy == f"{sys.executable} -m pip install 'torch>=2.6'"
    assert 'ruff' not in found  # an extra, not a requirement


@pytest.mark.parametrize(
    ('installer', 'direct', 'expected'),
    [
        ('pip', None, Installation('pip')),
        ('uv', None, Installation('uv')),
        (
            'pip',
            {'url': 'file:///src/my%20clone', 'dir_info': {'editable': True}},
            Installation('pip', Path('/src/my clone')),
        ),
        ('pip', {'url': 'file:///src/clone', 'dir_info': {}}, Installation('pip')),
    ],
)
def test_how_the_package_was_installed(monkeypatch, installer, direct, expected):
    texts = {'INSTALLER': f'{installer}\n', 'direct_url.json': direct and json.dumps(direct)}
    monkeypatch.setattr(installation.metadata, 'distribution', lambda name: SimpleNamespace(read_text=texts.get))
    monkeypatch.setattr(sys, 'prefix', '/nowhere')
    assert installation.installation.__wrapped__() == expected


def test_a_clone_with_its_own_environment_is_ruled_by_its_lock_and_conda_is_named(monkeypatch, tmp_path):
    (tmp_path / 'uv.lock').touch()
    (tmp_path / '.venv' / 'conda-meta').mkdir(parents=True)
    direct = json.dumps({'url': tmp_path.as_uri(), 'dir_info': {'editable': True}})
    texts = {'INSTALLER': 'uv', 'direct_url.json': direct}
    monkeypatch.setattr(installation.metadata, 'distribution', lambda name: SimpleNamespace(read_text=texts.get))
    monkeypatch.setattr(sys, 'prefix', str(tmp_path / '.venv'))
    how = installation.installation.__wrapped__()
    assert (how.locked, how.conda) == (True, True)
    assert how.satisfy('numpy>=1.26') == f'cd {tmp_path} && uv sync --frozen --inexact'
    assert how.compile_ops() == f'cd {tmp_path} && bash tools/setup_env.sh --compiled-ops'
    assert 'in conda' in how.describe()


def test_a_broken_check_is_a_finding_and_the_exit_code_tells(monkeypatch, capsys):
    def check_broken():
        raise RuntimeError('driver gone')
        yield

    monkeypatch.setattr(doctor, 'CHECKS', (check_broken, doctor.check_port))
    monkeypatch.setattr(sys, 'argv', ['doctor'])
    assert doctor.main() == 1
    out = capsys.readouterr().out
    assert 'RuntimeError: driver gone' in out
    assert out.endswith('1 problems: the main job cannot run\n')


@pytest.mark.parametrize('precision', ['bfloat16', 'float32'])
def test_the_precision_that_pays_here_is_named_with_its_reason(monkeypatch, precision):
    monkeypatch.setattr('mmsparseswin.engine.precision.choose_precision', lambda: (precision, 'a reason'))
    (finding,) = doctor.check_precision()
    assert (finding.name, finding.value, finding.state) == ('precision', f'{precision} (a reason)', 'ok')
