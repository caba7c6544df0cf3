"""Backbones whose valid area is a tensor give the maps of eager, which knows it as numbers."""

import pytest
import small_detectors as small
import torch
from mmengine.registry import MODELS, init_default_scope

from mmsparseswin.backbones import STViTR, Swin
from mmsparseswin.export import valid_area
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.windows import window_plan

SIZES = ((72, 100), (72, 61), (33, 100), (20, 90), (72, 99), (4, 4))


def build(backbone: dict, **options):
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build({**backbone, **options}).eval()
    for weights in model.parameters():
        if weights.dim() > 1:  # so that every window counts
            torch.nn.init.normal_(weights, std=0.2)
    return model


@pytest.mark.parametrize('backbone', [dict(small.SWIN, window_size=5), small.SPARSE_SWIN])
def test_every_valid_size_gets_the_maps_of_eager(backbone):
    model = build(backbone)
    assert valid_area.is_known(model)
    images = torch.randn(1, 3, 72, 100)
    for size in SIZES:
        inside = torch.zeros(1, 1, 72, 100)
        inside[..., : size[0], : size[1]] = 1
        with torch.no_grad():
            wanted = model(torch.cat((images, inside), 1))
            found = valid_area.run(model, images, torch.tensor(size))
        for one, other in zip(wanted, found, strict=True):
            torch.testing.assert_close(other, one, rtol=0, atol=1e-5 * float(one.abs().max()))


@pytest.mark.parametrize('shift_single', [False, True])
@pytest.mark.parametrize('size', [(13, 9), (4, 9), (5, 4), (1, 1)])
def test_a_plan_moves_the_same_tokens_into_the_same_windows(size, shift_single):
    grid, window, tokens = Grid(13, 9), (4, 4), torch.arange(1.0, 13 * 9 + 1).view(1, -1, 1)
    sizes = tuple(torch.tensor(one) for one in size)
    plan = valid_area.make_plan(grid, sizes, window, True, shift_single)
    known = window_plan(grid._replace(valid=(size,)), window, True, torch.device('cpu'), shift_single)
    found, wanted = plan.to_windows(tokens).view(-1, 16), known.to_windows(tokens).view(-1, 16)
    used = found.any(1)
    assert sorted(map(tuple, found[used].tolist())) == sorted(map(tuple, wanted.tolist()))
    masks = {tuple(row.tolist()): mask for row, mask in zip(found, plan.mask, strict=True)}
    seam = wanted[len(wanted) - (0 if known.mask is None else len(known.mask)) :]
    for row in wanted.tolist():
        (at,) = [i for i, one in enumerate(seam.tolist()) if one == row] or [None]
        mask = torch.zeros(16, 16) if at is None else known.mask[at]
        assert torch.equal(masks[tuple(row)], mask)
    back = plan.to_grid(plan.to_windows(tokens)).view(13, 9)[: size[0], : size[1]]
    assert torch.equal(back, tokens.view(13, 9)[: size[0], : size[1]])


def test_what_is_not_known_is_left_to_pictures_that_fill_their_file():
    for model in (
        build(small.SWIN, use_abs_pos_embed=True, img_size=64),
        build(small.SWIN, keep_windows=0.5),
        build(small.SWIN, patch_merging='conv'),
        build(small.SPARSE_SWIN, token_resize='feature'),
        build(small.SPARSE_SWIN, token_to_map='mlp'),
        STViTR(arch='tiny'),
        type('Other', (Swin,), {})(arch=small.SWIN['arch'], out_indices=(0,)),
    ):
        assert not valid_area.is_known(model)
