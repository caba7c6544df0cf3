"""What the README names is there, and its configs build."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md')), *sorted((ROOT / 'configs').rglob('*.md'))]


@pytest.mark.parametrize('page', PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_and_path_exists(page):
    text = page.read_text()
    links = re.findall(r'\]\((?!https?://)([^)#]+)\)', text)
    paths = re.findall(r'(?<![\w/.-])((?:tools|configs|tests|\.ci|mmsparseswin)/[\w./-]+\w)', text)
    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [path for path in paths if not (ROOT / path).exists() and '_X' not in path]
    assert missing == []


def test_the_config_snippets_build(monkeypatch):
    """The mmdet snippet over mmdet's own Cascade R-CNN, the mmpretrain snippet by itself."""
    (code,) = re.findall(r'```python\n(.*?)```', (ROOT / 'README.md').read_text(), re.DOTALL)
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
