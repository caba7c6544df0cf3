"""The tables of a dumbbell unit; what attention makes of them is checked in test_semantic_tokens.py."""

import pytest
import torch

from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.neighbourhoods import Neighbourhood, unit_plan

CPU = torch.device('cpu')


# docs/models/stvit_r.md, 'Detector masks', measured on the published code: (real tokens masked, padding tokens visible)
# at 50 x 80 and 50 x 84.
@pytest.mark.parametrize(('width', 'masked', 'visible'), [(80, 12, 82), (84, 144, None)])
def test_official_recovery_masks_the_wrong_tokens(width, masked, visible):
    plan = unit_plan(Grid(50, width), 7, 3, 'det', 'official', CPU)
    rows, cols = plan.token_grid.height, plan.token_grid.width
    keys, mask = plan.recover.keys.view(-1, 27 * 27), plan.recover.mask[0]
    hidden = torch.zeros(rows * cols + 1, dtype=torch.bool)
    hidden[keys[mask < 0]] = True
    hidden = hidden[:-1].view(rows, cols)
    exact = unit_plan(Grid(50, width), 7, 3, 'det', 'exact', CPU).token_grid
    real = torch.zeros(rows, cols, dtype=torch.bool)
    real[: exact.height, : exact.width] = True
    assert (hidden & real).sum() == masked
    if visible is not None:
        assert (~hidden & ~real).sum() == visible


def test_small_maps_need_no_neighbourhood_tables():
    plan = unit_plan(Grid(14, 14), 7, 3, 'det', 'exact', CPU)
    assert plan.recover == Neighbourhood(Grid(14, 14), (Grid(6, 6),)), 'neither tables nor a mask'
    assert plan.everywhere.mask is None
    cls = unit_plan(Grid(14, 14), 7, 3, 'cls', 'exact', CPU)
    assert cls.generate.mask is None
    assert cls.generate.keys.numel() == 4 * (9 + 10 * 10), 'the published crops are 10 x 10'


def test_plans_are_cached_by_everything_they_depend_on():
    arguments = [
        (Grid(14, 21), 7, 3, 'cls', 'exact', CPU),
        (Grid(21, 14), 7, 3, 'cls', 'exact', CPU),
        (Grid(14, 21), 7, 2, 'cls', 'exact', CPU),
        (Grid(14, 21), 5, 3, 'cls', 'exact', CPU),
        (Grid(14, 21), 7, 3, 'det', 'exact', CPU),
        (Grid(14, 21), 7, 3, 'det', 'official', CPU),
        (Grid(14, 21, ((14, 20),)), 7, 3, 'det', 'exact', CPU),
        (Grid(14, 21), 7, 3, 'det', 'exact', CPU, 9),
    ]
    plans = [unit_plan(*a) for a in arguments]
    assert len({id(p) for p in plans}) == len(plans)
    assert unit_plan(*arguments[0]) is plans[0]
