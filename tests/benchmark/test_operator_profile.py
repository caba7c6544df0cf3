"""Test that a profile counts every operator under one kind, and products by shape."""

import pytest
import torch
from torch import nn

from mmsparseswin.benchmark.operator_profile import operator_shares, product_shape
from mmsparseswin.layers import fast_path


def test_shares_add_up_and_products_are_found_at_their_shapes():
    model = nn.Sequential(nn.LayerNorm(24), nn.Linear(24, 40), nn.GELU(), nn.Linear(40, 8), nn.Softmax(-1)).eval()
    x = torch.randn(2, 50, 24)

    def step():
        with torch.no_grad():
            model(x)

    found = operator_shares(step, repeats=2)
    assert sum(found['kinds'].values()) == pytest.approx(1)
    assert {'linear layers', 'layer norm', 'GELU', 'softmax'} <= set(found['kinds'])
    assert list(found['kinds'].values()) == sorted(found['kinds'].values(), reverse=True)
    assert sorted(product['shape'] for product in found['products']) == [[100, 24, 40], [100, 40, 8]]
    shares = [product['share'] for product in found['products']]
    assert sum(shares) <= found['kinds']['linear layers']
    # Rates follow from shares: operations per second are proportional to operations over share.
    per_share = [2 * torch.tensor(p['shape']).prod().item() / p['share'] / p['gflops'] for p in found['products']]
    assert per_share[0] == pytest.approx(per_share[1])


@pytest.mark.skipif(not fast_path._has_primitive(torch.float32), reason='this PyTorch has no oneDNN')
def test_products_of_our_own_linear_layers_are_found_with_and_without_a_sum():
    layer, x = nn.Linear(24, 40), torch.randn(2, 50, 24)

    def step():
        with torch.no_grad():
            fast_path.linear(layer, x, fast_path.choose(x))
            fast_path.linear(layer, x, fast_path.choose(x), plus=torch.zeros(2, 50, 40))

    assert [product['shape'] for product in operator_shares(step)['products']] == [[100, 24, 40]]


@pytest.mark.parametrize(
    ('operator', 'shapes', 'expected'),
    [
        ('aten::addmm', [[7], [5, 3], [3, 7]], (5, 3, 7)),
        ('aten::mm', [[5, 3], [3, 7]], (5, 3, 7)),
        ('mkldnn::_linear_pointwise', [[2, 5, 3], [7, 3], [7]], (10, 3, 7)),
        ('mkldnn::_linear_pointwise', [[5, 3], [5, 7], [7, 3], []], (5, 3, 7)),
        ('aten::bmm', [[2, 5, 3], [2, 3, 7]], None),
        ('aten::linear', [[5, 3], [7, 3]], None),
    ],
)
def test_shape_of_a_product(operator, shapes, expected):
    assert product_shape(operator, shapes) == expected
