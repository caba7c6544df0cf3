"""Run the Python of the README and build that of docs/own_config.md; links are checked in test_documents.py."""

import json
import re
import runpy
import shutil
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope

ROOT = Path(__file__).parents[1]


def test_the_config_snippets_build(monkeypatch):
    """The mmdet snippet over mmdet's own Cascade R-CNN, the mmpretrain snippet by itself."""
    (code,) = re.findall(r'```python\n(.*?)```', (ROOT / 'docs/own_config.md').read_text(), re.DOTALL)
    detector, classifier = re.split(r'# mmpretrain.*\n', code)

    from mmdet.registry import MODELS

    init_default_scope('mmdet')
    base = "_base_ = 'mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py'\n"
    model = MODELS.build(Config.fromstring(base + detector, '.py').model)
    assert type(model.backbone).__name__ == 'SparseSwin'
    assert model.backbone.out_channels == (96, 192, 384, 768)

    from mmpretrain.registry import MODELS as CLASSIFIERS

    init_default_scope('mmpretrain')

    model = CLASSIFIERS.build(Config.fromstring(classifier, '.py').model)
    assert sum(p.numel() for p in model.parameters()) == 20_287_971


def blocks(page: str) -> list[str]:
    return re.findall(r'```python\n(.*?)```', (ROOT / page).read_text(), re.DOTALL)


def test_docs_python_builds_a_backbone(capsys):
    exec(blocks('docs/python.md')[1], {})
    assert capsys.readouterr().out == '[(1, 96, 56, 56), (1, 192, 28, 28), (1, 384, 14, 14), (1, 768, 7, 7)]\n'


def test_the_readme_trains_and_predicts(shapes, tmp_path, monkeypatch):
    """Its five lines, on a few small pictures."""
    (code,) = blocks('README.md')
    assert len(code.splitlines()) == 5
    assert code.split() == blocks('docs/python.md')[0].split()
    shutil.copytree(shapes, tmp_path / 'data/shapes')
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert len(list((tmp_path / 'pictures').iterdir())) == 4


def test_the_readme_is_short():
    lines = (ROOT / 'README.md').read_text(encoding='utf-8').splitlines()
    assert len(lines) <= 120
    prose = [line for part in '\n'.join(lines).split('```')[::2] for line in part.splitlines()]
    assert [line for line in prose if len(line) > 100 and not line.startswith('![')] == []


def test_the_chart_has_every_model():
    """The chart's runs exist in the committed result, with the libraries beside ours."""
    chart = runpy.run_path(str(ROOT / 'tools' / 'dev' / 'draw_readme_chart.py'))
    result = json.loads(chart['RESULT'].read_text(encoding='utf-8'))
    assert [name for name, _ in chart['rows'](result, 'inference 224')] == list(chart['LABELS'])
    assert [name for name, _ in chart['rows'](result, 'training 224')] == list(chart['LABELS'])[1:]
    assert chart['PICTURE'].is_file()
