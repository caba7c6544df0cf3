"""Compare the priors of docs/models/ssd.md, 'Priors', with plain numbers."""

import math

import pytest
import torch
from mmdet.registry import TASK_UTILS

SIDES = [0.1, 0.2, 0.375, 0.55, 0.725, 0.9, 1.0]
RATIOS = {4: (2, 1 / 2), 6: (2, 3, 1 / 2, 1 / 3)}
PER_CELL = [4, 6, 6, 6, 4, 4]
MAPS = {
    'ResNet at 300': ([38, 19, 10, 5, 3, 1], 8732),
    'Swin-A at 336': ([42, 21, 10, 5, 3, 1], 10492),
    'Swin-B at 336': ([42, 21, 11, 6, 3, 1], 10684),
}


def spec_priors(sizes: list[tuple[int, int]]) -> torch.Tensor:
    """Return centre, width and height of every prior in units of the image: (priors, 4)."""
    priors = []
    for level, (rows, columns) in enumerate(sizes):
        side, following = SIDES[level : level + 2]
        shapes = [(side, side), (math.sqrt(side * following), math.sqrt(side * following))]
        shapes += [(side * math.sqrt(r), side / math.sqrt(r)) for r in RATIOS[PER_CELL[level]]]
        for row in range(rows):
            for column in range(columns):
                for width, height in shapes:
                    numbers = ((column + 0.5) / columns, (row + 0.5) / rows, width, height)
                    priors.append([min(max(number, 0.0), 1.0) for number in numbers])
    return torch.tensor(priors)


def corners(boxes: torch.Tensor) -> torch.Tensor:
    return torch.cat((boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2), 1)


def generator(**kwargs):
    return TASK_UTILS.build(dict(type='mmsparseswin.RelativeSSDAnchorGenerator', **kwargs))


@pytest.mark.parametrize(('sides', 'count'), MAPS.values(), ids=MAPS.keys())
def test_published_maps_give_the_published_priors(sides, count):
    sizes = [(side, side) for side in sides]
    priors = torch.cat(generator().grid_priors(sizes, device='cpu'))
    assert len(priors) == count
    torch.testing.assert_close(priors, corners(spec_priors(sizes)), rtol=0, atol=1e-6)


def test_oblong_images_stretch_the_priors():
    sizes = [(9, 5), (5, 3), (3, 2), (2, 1), (1, 1), (1, 1)]
    priors = torch.cat(generator().grid_priors(sizes, device='cpu'))
    torch.testing.assert_close(priors, corners(spec_priors(sizes)), rtol=0, atol=1e-6)


def test_the_spec_names_the_extra_squares_and_the_count_per_cell():
    priors = generator()
    assert priors.num_base_priors == PER_CELL
    extra = [float(boxes[1, 2] - boxes[1, 0]) for boxes in priors.base_anchors]
    assert extra == pytest.approx([0.1414, 0.2739, 0.4542, 0.6315, 0.8078, 0.9487], abs=1e-4)


def test_without_clipping_a_box_may_be_wider_than_the_image():
    sizes = [(1, 1)] * 6
    for clip, widest in ((True, 1.0), (False, 0.9 * math.sqrt(2))):
        boxes = generator(clip=clip).grid_priors(sizes, device='cpu')[5]
        assert float((boxes[:, 2] - boxes[:, 0]).max()) == pytest.approx(widest)


def test_some_priors_by_number_are_those_of_the_whole_map():
    whole = generator().single_level_grid_priors((4, 3), 1, device='cpu')
    some = torch.tensor([0, 17, 71])
    torch.testing.assert_close(generator().sparse_priors(some, (4, 3), 1, device='cpu'), whole[some], rtol=0, atol=0)
