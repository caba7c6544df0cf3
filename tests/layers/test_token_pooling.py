"""Pooling of image tokens against torch's adaptive pooling, window by window."""

import pytest
import torch
import torch.nn.functional as F

from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.neighbourhoods import unit_plan
from mmsparseswin.layers.token_pooling import max_pool, weighted_pool

CPU = torch.device('cpu')
DIMS = 16


@pytest.mark.parametrize('tokens', [2, 3, 4])
def test_max_pool_is_adaptive_pooling_of_each_window(tokens):
    x = torch.randn(2, DIMS, 14, 21)
    plan = unit_plan(Grid(14, 21), 7, tokens, 'cls', 'exact', CPU)
    got = (
        max_pool(x.flatten(2).transpose(1, 2), Grid(14, 21), plan)
        .transpose(1, 2)
        .unflatten(2, (2 * tokens, 3 * tokens))
    )
    for i in range(2):
        for j in range(3):
            expected = F.adaptive_max_pool2d(x[:, :, 7 * i : 7 * i + 7, 7 * j : 7 * j + 7], tokens)
            assert torch.equal(got[:, :, tokens * i : tokens * i + tokens, tokens * j : tokens * j + tokens], expected)


# Of 9 rows and 11 columns in windows of 7: (start, stop) of each cell with a token.
CELLS = {
    3: ([(0, 3), (2, 5), (4, 7), (7, 9)], [(0, 3), (2, 5), (4, 7), (7, 10), (9, 11)]),
    4: ([(0, 2), (1, 4), (3, 6), (5, 7), (7, 9), (8, 9)], [(0, 2), (1, 4), (3, 6), (5, 7), (7, 9), (8, 11), (10, 11)]),
}


@pytest.mark.parametrize('tokens', CELLS)
def test_learned_pool_is_a_mean_for_equal_logits_and_picks_the_strongest_token(tokens):
    grid = Grid(9, 11)
    plan = unit_plan(grid, 7, tokens, 'det', 'exact', CPU)
    x = torch.randn(1, 99, DIMS)
    even = weighted_pool(x, torch.zeros(1, 99), plan)[0].view(plan.token_grid.height, plan.token_grid.width, DIMS)
    image = x.view(9, 11, DIMS)
    rows, cols = CELLS[tokens]
    expected = torch.stack([torch.stack([image[a:b, c:d].mean((0, 1)) for c, d in cols]) for a, b in rows])
    torch.testing.assert_close(even, expected)
    logits = torch.zeros(1, 99)
    logits[0, 0] = 100.0
    torch.testing.assert_close(weighted_pool(x, logits, plan)[0, 0], x[0, 0])
