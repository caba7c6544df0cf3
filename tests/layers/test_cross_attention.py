"""Attention by tables: position bias, weights."""

import pytest
import torch

from mmsparseswin.layers.cross_attention import CrossAttention
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.neighbourhoods import Neighbourhood

DIMS, HEADS = 16, 2


# 3 x 3: the size of the table. 2 x 5: narrower than it and wider, where offsets of 3 and 4 take the bias of 2.
@pytest.mark.parametrize(('height', 'width'), [(3, 3), (2, 5)])
def test_relative_position_bias_depends_on_the_offset(height, width):
    torch.manual_seed(0)
    attention = CrossAttention(DIMS, HEADS, bias_side=(3, 3)).double()
    torch.nn.init.normal_(attention.relative_position_bias_table)
    x = torch.randn(2, height * width, DIMS, dtype=torch.float64)
    with torch.no_grad():
        got, _ = attention(x, x, Neighbourhood(Grid(height, width), ()), (height, width))
        table = attention.relative_position_bias_table.view(5, 5, HEADS)
        bias = torch.empty(HEADS, height * width, height * width, dtype=torch.float64)
        for a in range(height * width):
            for b in range(height * width):
                dy, dx = a // width - b // width, a % width - b % width
                bias[:, a, b] = table[max(-2, min(dy, 2)) + 2, max(-2, min(dx, 2)) + 2]
        q = attention.q(x).unflatten(2, (HEADS, -1)).transpose(1, 2)
        k, v = attention.kv(x).unflatten(2, (2, HEADS, -1)).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(2, 3) * (DIMS // HEADS) ** -0.5 + bias).softmax(-1)
        expected = attention.proj((weights @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(got, expected)
