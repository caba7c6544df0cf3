import json
import subprocess
import sys

import pytest

from mmsparseswin import doctor


def by_name(findings) -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in findings}


def test_the_report_of_this_machine_as_json():
    done = subprocess.run([sys.executable, '-m', 'mmsparseswin.doctor', '--json'], capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report['ok'] else 1)
    found = {finding['name']: finding for finding in report['findings']}
    assert {
        'torch',
        'onedl-mmcv',
        'mmcv._ext',
        'nvcc',
        'mmdet registry',
        'mmpretrain registry',
        'free port',
    } <= found.keys()
    assert 'mmsparseswin.SparseSwin and mmsparseswin.Swin' in found['mmdet registry']['value']
    assert all(finding['remedy'] for finding in found.values() if finding['state'] != 'ok')


def test_a_twin_beside_the_forks_is_a_problem(tmp_path, monkeypatch):
    (tmp_path / 'mmcv-2.2.0.dist-info').mkdir()
    (tmp_path / 'mmcv-2.2.0.dist-info' / 'METADATA').write_text('Metadata-Version: 2.1\nName: mmcv\nVersion: 2.2.0\n')
    monkeypatch.syspath_prepend(tmp_path)
    finding = by_name(doctor.check_twins())['mmcv']
    assert finding.state == 'bad'
    assert 'uv pip uninstall mmcv onedl-mmcv' in finding.remedy


@pytest.mark.parametrize(
    ('message', 'words'),
    [
        ("No module named 'mmcv._ext'", 'No module named'),
        ('_ext.so: undefined symbol: _ZN2at4_ops', 'built for another torch'),
    ],
)
def test_operators_that_do_not_load_are_a_problem_with_a_remedy(monkeypatch, message, words):
    def fail(name: str):
        raise ImportError(message)

    monkeypatch.setattr(doctor, 'import_module', fail)
    finding = by_name(doctor.check_mmcv())['mmcv._ext']
    assert finding.state == 'bad'
    assert words in finding.value
    assert '--reinstall-package onedl-mmcv' in finding.remedy


def test_an_untested_version_is_a_note_and_a_missing_package_a_problem(monkeypatch):
    installed = doctor.metadata.version

    def version(name: str) -> str:
        if name == 'pycocotools':
            raise doctor.metadata.PackageNotFoundError(name)
        return '2.4.0' if name == 'torch' else installed(name)

    monkeypatch.setattr(doctor.metadata, 'version', version)
    found = by_name(doctor.check_versions())
    assert (found['torch'].state, found['pycocotools'].state) == ('note', 'bad')
    assert '==2.11.0' in found['torch'].value
    assert 'ruff' not in found  # an extra, not a requirement


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
