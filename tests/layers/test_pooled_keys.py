"""Keys that are means of cells: how many, of what, and that they stand for their tokens."""

import pytest
import torch
import torch.nn.functional as F

from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.neighbourhoods import unit_plan
from mmsparseswin.layers.pooled_keys import pool_map, pooled
from mmsparseswin.layers.semantic_tokens import SemanticBlock

CPU = torch.device('cpu')


@pytest.mark.parametrize(('height', 'width', 'bound'), [(9, 13, 30), (7, 50, 49), (3, 3, 1), (1, 40, 7)])
def test_cells_are_the_smallest_within_the_bound(height, width, bound):
    cells = pool_map(Grid(height, width), bound)
    x = torch.randn(2, height * width, 5, dtype=torch.float64)
    side = next(s for s in range(1, 99) if -(-height // s) * -(-width // s) <= bound)
    expected = F.avg_pool2d(
        x.transpose(1, 2).unflatten(2, (height, width)), side, ceil_mode=True, count_include_pad=False
    )
    assert cells.cells == Grid(*expected.shape[2:])
    torch.testing.assert_close(pooled(x, cells), expected.flatten(2).transpose(1, 2), rtol=1e-6, atol=1e-6)
    assert cells.counts.sum() == height * width
    assert pool_map(Grid(height, width), height * width) is None
    assert pool_map(Grid(height, width), None) is None


def test_each_image_has_the_cells_it_has_alone():
    sizes = (9, 13), (4, 5), (2, 12)
    x = torch.randn(3, 10 * 14, 5, dtype=torch.float64)
    cells = pool_map(Grid(10, 14, sizes), 20)
    together = pooled(x, cells).unflatten(1, (cells.cells.height, cells.cells.width))
    counts = cells.counts.unflatten(1, (cells.cells.height, cells.cells.width))
    for i, (height, width) in enumerate(sizes):
        image = x[i : i + 1].unflatten(1, (10, 14))[:, :height, :width].flatten(1, 2)
        alone = pool_map(Grid(height, width), 20)
        h, w = cells.cells.valid[i]
        expected = image if alone is None else pooled(image, alone)
        torch.testing.assert_close(together[i : i + 1, :h, :w].flatten(1, 2), expected, rtol=1e-6, atol=1e-6)
        assert counts[i].sum() == counts[i, :h, :w].sum() == height * width
    assert cells.cells.valid[1:] == ((4, 5), (1, 6))


@pytest.mark.parametrize('preset', ['cls', 'det'])
def test_maps_that_are_constant_in_each_cell_lose_nothing(preset):
    """Cells differ in size, between the maps of block 2 too: each must count as often as it has tokens."""
    torch.manual_seed(0)
    block = SemanticBlock(16, 2, layer_scale=0.5).double()
    grid = Grid(20, 33)  # 9 x 15 semantic tokens
    plans = [unit_plan(grid, 7, 3, preset, 'exact', CPU, bound) for bound in (None, 50)]
    token_grid = plans[0].token_grid
    semantic, image = (
        F.interpolate(torch.randn(1, 16, -(-h // side), -(-w // side)).double(), scale_factor=side)[..., :h, :w]
        .flatten(2)
        .transpose(1, 2)
        for h, w, side in ((token_grid.height, token_grid.width, 2), (20, 33, 4))
    )
    whole, bounded = (
        [block(semantic, token_grid, (), p.everywhere)]
        + ([block(image, grid, (semantic,), p.recover)] if preset == 'cls' else [])
        + ([block(semantic, token_grid, (semantic, image), p.regenerate)] if preset == 'cls' else [])
        for p in plans
    )
    for a, b in zip(whole, bounded, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
    assert plans[1].everywhere.key_maps == (Grid(5, 8),)
    if preset == 'cls':
        assert plans[1].regenerate.key_maps == (Grid(5, 8), Grid(5, 9))


@pytest.mark.parametrize('preset', ['cls', 'det'])
def test_nothing_changes_up_to_the_bound(preset):
    plan = unit_plan(Grid(14, 28), 7, 3, preset, 'exact', CPU, 14 * 28)
    expected = unit_plan(Grid(14, 28), 7, 3, preset, 'exact', CPU)
    for number in (2, 4, 5):
        assert plan.of_block(number).pools == ()
        assert plan.of_block(number).key_maps == expected.of_block(number).key_maps
    assert plan.everywhere == expected.everywhere
