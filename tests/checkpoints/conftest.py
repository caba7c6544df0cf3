import json
from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).parents[3] / 'shared'


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
