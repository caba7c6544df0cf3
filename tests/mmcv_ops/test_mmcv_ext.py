"""Test that mmcv finds our operators as mmcv._ext, and that a compiled extension comes before them."""

import importlib.machinery
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import mmcv
import mmcv.ops
import pytest
import torch
from golden_cases import align_inputs, boxes_and_scores, random_of

from mmsparseswin.mmcv_ops import OPERATORS, _ext, find_operator


def test_installing_the_project_installs_the_file():
    files = {str(file): file for file in metadata.files('mmsparseswin') or ()}
    assert 'mmcv/_ext.py' in files, 'uninstalling removes what RECORD names'
    installed = Path(files['mmcv/_ext.py'].locate())
    message = 'uv sync --inexact --reinstall-package mmsparseswin installs the file anew'
    assert installed.read_text() == Path(_ext.__file__).read_text(), message
    assert installed.parent == Path(mmcv.__file__).parent


def test_python_finds_a_compiled_extension_first(tmp_path):
    (tmp_path / '_ext.py').touch()
    assert _found(tmp_path).endswith('_ext.py')
    compiled = tmp_path / f'_ext{importlib.machinery.EXTENSION_SUFFIXES[0]}'
    compiled.touch()
    assert _found(tmp_path) == str(compiled)


def _found(folder):
    importlib.invalidate_caches()
    return importlib.machinery.PathFinder.find_spec('_ext', [str(folder)]).origin


def test_mmcv_may_be_imported_before_the_project():
    code = 'import mmcv.ops, mmsparseswin, mmdet.models; from mmcv.ops import *'
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True, capture_output=True)


def test_importing_the_operators_imports_nothing_heavy():
    code = 'import sys, mmsparseswin.mmcv_ops._ext as e; e.nms; print(*sys.modules)'
    stub = "import sys, types; m = types.ModuleType('mmsparseswin'); m.__path__ = ['mmsparseswin'];"
    stub += " sys.modules['mmsparseswin'] = m;"
    root = Path(_ext.__file__).parents[2]
    loaded = subprocess.run([sys.executable, '-c', stub + code], check=True, capture_output=True, text=True, cwd=root)
    assert not {'torch', 'torchvision', 'mmcv', 'mmdet', 'mmengine'} & set(loaded.stdout.split())


def test_every_listed_operator_exists_and_takes_mmcvs_arguments():
    for name in OPERATORS:
        assert find_operator(name).__name__ == name


def test_an_operator_without_our_form_raises_one_line():
    for name in ('nms_rotated', 'roi_align_rotated_forward', 'no_such_operator'):
        assert hasattr(_ext, name)
        with pytest.raises(NotImplementedError) as error:
            getattr(_ext, name)(1, keyword=2)
        message = str(error.value)
        assert '\n' not in message
        assert name in message
        assert 'tools/setup_env.sh --compiled-ops' in message
        assert 'MMCV_WITH_OPS=1 pip install' in message


def test_it_is_an_ordinary_module():
    assert _ext.__spec__.origin == _ext.__file__
    for dunder in ('__wrapped__', '__all__', '__no_such__'):
        assert not hasattr(_ext, dunder)


@pytest.mark.usefixtures('our_operators')
def test_mmcv_reports_that_nothing_is_compiled():
    assert mmcv.ops.get_compiler_version() == 'not compiled: torchvision operators'
    assert mmcv.ops.get_compiling_cuda_version() == 'not compiled: torchvision operators'


@pytest.mark.usefixtures('our_operators')
def test_tracing_sees_the_operators():
    features, rois = align_inputs(random_of('trace'))
    boxes, scores = boxes_and_scores(random_of('trace'), 'fractions')

    def call(features, rois, boxes, scores):
        return mmcv.ops.roi_align(features, rois, (3, 2), 0.5), mmcv.ops.nms(boxes, scores, 0.5)[0]

    features = features.detach()
    traced = torch.jit.trace(call, (features, rois, boxes, scores), check_trace=False)
    other = boxes_and_scores(random_of('other'), 'fractions')
    for ours, expected in zip(traced(2 * features, rois, *other), call(2 * features, rois, *other), strict=True):
        torch.testing.assert_close(ours, expected)
