import json
import math
from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).parents[3] / 'shared'


def randomise(model, seed=0):
    """Draw every parameter, tables and norms too: libraries start many of them at 0 or 1, which hides a mix-up."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if p.dim() == 1:
            p.data = noise * 0.1 + (1 if name.endswith('weight') else 0)
        elif 'table' in name or 'pos' in name:
            p.data = noise * 0.3
        else:
            p.data = noise / math.sqrt(p[0].numel())
    model.eval()  # mmdet's Swin returns None here
    return model


def build(converted):
    """The converted model, strictly loaded; built from mmpretrain's registry."""
    from mmpretrain.registry import MODELS

    model = MODELS.build(converted.model)
    model.load_state_dict(converted.state_dict, strict=True)
    return model.eval()


def worst(got, expected):
    """Largest difference, relative to the largest value."""
    assert got.shape == expected.shape
    return float((got - expected).abs().max() / expected.abs().max())


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture
def golden():
    """``name -> (case, state dict, input, worst)`` of a golden case."""
    if not (SHARED / 'golden' / 'golden.py').exists():
        pytest.skip('needs ../shared/golden')
    namespace = {}
    exec(compile((SHARED / 'golden' / 'golden.py').read_text(), 'golden.py', 'exec'), namespace)

    def load(name):
        path = SHARED / 'golden' / f'{name}.json'
        assert json.loads(path.read_text())['state_dict']
        return (*namespace['load'](path), namespace['worst'])

    return load
