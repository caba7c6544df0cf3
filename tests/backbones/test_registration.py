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


@pytest.mark.parametrize('library', ['mmdet', 'mmpretrain'])
def test_bare_names_if_the_library_was_imported_first(library):
    code = f"""
from {library}.registry import MODELS
import {library}.models
import mmsparseswin
print([type(MODELS.build(dict(type=n, arch='tiny', out_indices=(0,)))).__name__ for n in {NAMES}])
print([MODELS.get(n) is getattr(mmsparseswin, n) for n in {NAMES}])
"""
    assert run(code).strip().splitlines()[-2:] == [str([*NAMES]), '[True, True, True]']


def test_the_import_is_light_and_its_names_come_when_they_are_used():
    code = """
import sys
import mmsparseswin
print([m for m in ('torch', 'transformers', 'mmcv', 'mmdet', 'mmpretrain') if m in sys.modules])
print({'Swin', 'SparseSwin', 'STViTR', 'create_model', 'list_models', '__version__'} <= set(dir(mmsparseswin)))
print(hasattr(mmsparseswin, 'swin'))
from mmsparseswin import Swin, create_model
print(isinstance(create_model('swin-cifar'), Swin), mmsparseswin.backbones.Swin is Swin)
"""
    assert run(code).strip().splitlines()[-4:] == ['[]', 'True', 'False', 'True True']


@pytest.mark.parametrize('missing', ['mmdet', 'mmpretrain', 'mmcv._ext'])
def test_what_a_name_does_not_need_may_be_missing(missing):
    code = f"""
import sys
sys.modules[{missing!r}] = None
from mmengine.registry import HOOKS, METRICS, MODELS, OPTIM_WRAPPERS, PARAM_SCHEDULERS
print(MODELS.get('mmsparseswin.Swin').__name__, MODELS.get('mmsparseswin.AttentionPenalty').__name__)
print(HOOKS.get('mmsparseswin.StopAfterHook').__name__, METRICS.get('mmsparseswin.ConfusionMatrix').__name__)
print([m for m in ('mmdet', 'mmcv.ops') if sys.modules.get(m)])
"""
    lines = run(code).strip().splitlines()
    assert lines[-3:] == ['Swin AttentionPenalty', 'StopAfterHook ConfusionMatrix', '[]']


def test_every_registered_class_is_found_by_its_name():
    code = """
import ast, pathlib
from mmsparseswin import registry
found = []
for path in pathlib.Path('mmsparseswin').rglob('*.py'):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            for mark in map(ast.unparse, node.decorator_list):
                kind = mark.partition('.register_module')[0] if 'register_module' in mark else None
                kind = 'MODELS' if mark == 'register_backbone' else kind
                if kind:
                    found.append(getattr(registry, kind).get(node.name).__name__ == node.name)
print(len(found) > 20, all(found))
"""
    assert run(code).strip().splitlines()[-1] == 'True True'


def test_an_unknown_name_is_said_to_be_in_no_registry():
    code = """
import mmsparseswin
from mmdet.registry import MODELS
try:
    MODELS.build(dict(type='mmsparseswin.SparsSwin'))
except KeyError as error:
    print(error.args[0])
"""
    assert 'mmsparseswin.SparsSwin is not in the mmdet::model registry' in run(code)
