"""Test configs of this package by name: mmsparseswin::NAME."""

import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from mmsparseswin import mim
from mmsparseswin.errors import InputError

CONFIGS = Path(__file__).parents[1] / 'configs'
MAIN = 'cascade_sparseswin_coco.py'
SMOKE = 'quickstart/cascade_sparseswin_smoke.py'


def run(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, '-c', code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize('name', [MAIN, SMOKE])
def test_a_config_resolves_by_name_and_equals_the_file(name):
    assert mim.config_path(name) == mim.config_path(f'mmsparseswin::{name}')
    by_name, by_path = Config.fromfile(f'mmsparseswin::{name}'), Config.fromfile(CONFIGS / name)
    assert by_name.to_dict() == by_path.to_dict()


@pytest.mark.parametrize('name', ['cascade_sparseswin-coco.py', 'cascade_sparseswin_smoke.py', '../pyproject.toml', ''])
def test_an_unknown_name_says_so_and_names_the_closest(name):
    with pytest.raises(InputError, match=f'mmsparseswin has no config {name}') as raised:
        Config.fromfile(f'mmsparseswin::{name}')
    if name == 'cascade_sparseswin_smoke.py':  # the folder is missing
        assert f'did you mean mmsparseswin::{SMOKE}?' in str(raised.value)


def test_a_base_keeps_its_types_unscoped_and_other_bases_their_scope(tmp_path):
    (tmp_path / 'mine.py').write_text(f"_base_ = 'mmsparseswin::{MAIN}'\nmodel = dict(backbone=dict(arch='small'))\n")
    (tmp_path / 'theirs.py').write_text("_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'\n")
    mine = Config.fromfile(tmp_path / 'mine.py')
    assert mine.model.backbone.arch == 'small'
    assert mine.default_scope == 'mmdet'
    # Scoped with mmsparseswin, mmdet's CocoDataset would not be found.
    assert '_scope_' not in mine.train_dataloader.dataset
    assert Config.fromfile(tmp_path / 'theirs.py').model._scope_ == 'mmdet'


@pytest.mark.parametrize('first', ['mmsparseswin', 'mmengine.infer'])
def test_registering_works_in_any_order_of_imports(tmp_path, first):
    then = 'from mmengine.config import Config\nfrom mmengine.infer import BaseInferencer\n'
    code = f"""
import {first}, sys
{'' if first == 'mmsparseswin' else 'import mmsparseswin.mim'}
{then}
mmsparseswin.mim.register_with_mmengine()
print(Config.fromfile('mmsparseswin::{SMOKE}').filename)
print(BaseInferencer._load_model_from_metafile(None, 'mmsparseswin::{SMOKE}')[0].model.type)
print(sum(type(finder).__module__ == 'mmsparseswin.mim' for finder in sys.meta_path))
"""
    assert run(code, tmp_path).split() == [str(CONFIGS / SMOKE), 'CascadeRCNN', '0']


def test_the_module_itself_imports_neither_torch_nor_mmengine(tmp_path):
    code = f"""
import importlib.util, sys, types
sys.modules['mmsparseswin'] = package = types.ModuleType('mmsparseswin')
package.__path__ = [{str(CONFIGS.parent / 'mmsparseswin')!r}]
import mmsparseswin.mim
mmsparseswin.mim.register_with_mmengine()
print([name for name in ('torch', 'mmengine', 'numpy') if name in sys.modules])
from mmengine.config import Config  # extended as soon as it is imported
print(Config.fromfile('mmsparseswin::{SMOKE}').filename)
"""
    assert run(code, tmp_path) == f'[]\n{CONFIGS / SMOKE}\n'


def test_without_any_import_before_a_config_can_ask_for_the_file(tmp_path):
    (tmp_path / 'mine.py').write_text(f"_base_ = __import__('mmsparseswin').mim.config_path('{MAIN}')\n")
    code = "from mmengine.config import Config; print(Config.fromfile('mine.py').model.backbone.type)"
    assert run(code, tmp_path) == 'mmsparseswin.SparseSwin\n'


def test_tools_take_names(tmp_path, monkeypatch):
    from mmsparseswin.cli import run_config

    monkeypatch.chdir(tmp_path)
    cfg = run_config.load_config(f'mmsparseswin::{MAIN}')
    run_config.set_work_dir(cfg, None, f'mmsparseswin::{MAIN}')
    assert cfg.work_dir == 'work_dirs/cascade_sparseswin_coco'
    with pytest.raises(InputError, match='did you mean mmsparseswin::cascade_sparseswin_coco'):
        run_config.load_config('mmsparseswin::cascade_sparseswin_coc.py')
