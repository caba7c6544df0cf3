"""The backbones build from every registry a user may hold, in a process that has imported nothing else."""

import subprocess
import sys

import pytest


def run(code: str) -> str:
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout


NAMES = ('Swin', 'SparseSwin', 'STViTR')


@pytest.mark.parametrize('library', ['mmdet', 'mmpretrain'])
def test_scoped_names_need_no_import(library):
    code = f"""
from {library}.registry import MODELS
models = [MODELS.build(dict(type='mmsparseswin.' + n, arch='tiny', out_indices=(0,))) for n in {NAMES}]
print([type(m).__module__.startswith('mmsparseswin.backbones.') for m in models])
"""
    assert run(code).strip().splitlines()[-1] == '[True, True, True]'


@pytest.mark.parametrize('library', ['mmdet', 'mmpretrain'])
def test_bare_names_after_import(library):
    code = f"""
import mmsparseswin
from {library}.registry import MODELS
print([type(MODELS.build(dict(type=n, arch='tiny', out_indices=(0,)))).__name__ for n in {NAMES}])
"""
    assert run(code).strip().splitlines()[-1] == str([*NAMES])


def test_layers_import_nothing_but_torch():
    code = """
import sys, types, pkgutil, importlib
sys.modules['mmsparseswin'] = package = types.ModuleType('mmsparseswin')
package.__path__ = ['mmsparseswin']
import torch
import mmsparseswin.layers
for module in pkgutil.iter_modules(mmsparseswin.layers.__path__):
    importlib.import_module('mmsparseswin.layers.' + module.name)
print([m for m in ('mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'timm', 'torchvision') if m in sys.modules])
"""
    assert run(code).strip().splitlines()[-1] == '[]'


def test_backbones_need_no_compiled_operators():
    code = """
import sys
sys.modules['mmcv._ext'] = None
sys.modules['mmdet'] = None
import torch
from mmsparseswin import SparseSwin
print(len(SparseSwin('tiny').eval()(torch.zeros(1, 3, 64, 64))))
"""
    assert run(code).strip().splitlines()[-1] == '4'
