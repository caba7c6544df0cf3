"""Untrained detectors of every kind of token, and pictures for them."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope, init_default_scope

from mmsparseswin.analysis.flops_report import init_weights
from mmsparseswin.cli.run_config import load_config
from mmsparseswin.demo.models import Models

CONFIGS = Path(__file__).parents[2] / 'configs/quickstart'


def write_weights(config: Path, path: Path) -> str:
    """Write the weights of an untrained detector, which finds something at every low score."""
    torch.manual_seed(0)
    cfg = load_config(str(config))
    init_default_scope('mmdet')
    model = MODELS.build(cfg.model)
    init_weights(model)
    DefaultScope._instance_dict.clear()
    torch.save({'state_dict': model.state_dict(), 'meta': {'dataset_meta': {'classes': cfg.classes}}}, path)
    return str(path)


@pytest.fixture(scope='session')
def pairs(tmp_path_factory) -> list[tuple[str, str]]:
    """(config, weights) of a detector with sparse tokens and one with semantic tokens."""
    folder = tmp_path_factory.mktemp('weights')
    found = []
    for name in ('cascade_sparseswin_smoke', 'cascade_stvitr_smoke'):
        config = CONFIGS / f'{name}.py'
        found.append((str(config), write_weights(config, folder / f'{name}.pth')))
    return found


@pytest.fixture(scope='session')
def models(pairs) -> Models:
    """Both, loaded."""
    return Models(pairs, 'cpu')


@pytest.fixture(scope='session')
def pictures(shapes) -> list[Path]:
    """Four pictures."""
    return sorted((shapes / 'val').glob('*.jpg'))
