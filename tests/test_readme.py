"""Build the snippets of the README; its links and paths are checked in test_documents.py."""

import re
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope

ROOT = Path(__file__).parents[1]


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
