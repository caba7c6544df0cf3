"""BiFPN at any size; tests/checkpoints/test_sparseswindet.py compares its numbers with a restatement."""

import pytest
import torch
from torch import nn

from mmsparseswin.detection.sparse_swin_det.bifpn import BiFPN, FusionNode
from mmsparseswin.errors import InputError

BATCH_NORM = dict(type='BN', momentum=0.9997, eps=4e-5)


def halves(size: tuple[int, int], count: int) -> list[tuple[int, int]]:
    """Return the sizes of levels, each half of the one before, rounded up."""
    sizes = [size]
    for _ in range(count - 1):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


def inputs(size: tuple[int, int], channels=(6, 8, 10), batch: int = 2) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(batch, c, *s) for c, s in zip(channels, halves(size, len(channels)), strict=True)]


def test_parts_have_the_published_counts():
    neck = BiFPN([192, 384, 512], norm_cfg=BATCH_NORM)
    counts = [sum(p.numel() for p in part.parameters()) for part in (neck.laterals, neck.extra, *neck.layers)]
    assert counts == [12_352 + 24_640 + 32_832, 294_976 + 36_928, 39_443, 39_443]
    for layer in neck.layers:
        assert sum(node.fusion_weights.numel() for node in (*layer.up, *layer.down)) == 19
    assert {m.momentum for m in neck.modules() if isinstance(m, nn.BatchNorm2d)} == {0.9997}


@pytest.mark.parametrize('size', [(16, 16), (25, 38), (7, 3), (1, 1)])
def test_levels_keep_their_sizes_and_gradients_reach_everything(size):
    neck = BiFPN([6, 8, 10], out_channels=4, norm_cfg=dict(type='GN', num_groups=2))
    maps = inputs(size)
    outs = neck(maps)
    assert [tuple(m.shape) for m in outs] == [(2, 4, *s) for s in halves(size, 5)]
    sum(m.square().sum() for m in outs).backward()
    assert [n for n, p in neck.named_parameters() if p.grad is None] == []


def test_an_odd_map_is_doubled_from_its_corner():
    neck = BiFPN([1, 1], out_channels=1, num_outs=2, repeats=1, epsilon=0.0)
    for module in neck.modules():
        if isinstance(module, nn.Conv2d):  # convolutions that change nothing
            module.weight.data.zero_()
            module.weight.data[..., module.kernel_size[0] // 2, module.kernel_size[1] // 2] = 1
            module.bias.data.zero_()
    coarse = torch.tensor([[1.0, 2.0, 3.0]]).view(1, 1, 1, 3)
    fine, halved = neck([torch.zeros(1, 1, 2, 5), coarse])
    assert fine[0, 0].tolist() == [[0.5, 0.5, 1.0, 1.0, 1.5]] * 2
    # The last column has a cell of its own: it is the larger of one, not of two.
    assert halved[0, 0].tolist() == [[(1 + 0.5) / 2, (2 + 1.0) / 2, (3 + 1.5) / 2]]


def test_a_backbone_that_rounds_down_is_taken():
    neck = BiFPN([6, 8], out_channels=4, num_outs=2)
    outs = neck([torch.randn(1, 6, 9, 11), torch.randn(1, 8, 4, 5)])
    assert [tuple(m.shape[2:]) for m in outs] == [(9, 11), (4, 5)]


def test_fusion_is_a_mean_by_relative_weights_without_negative_ones():
    node = FusionNode(1, 3, None, epsilon=1e-4)
    node.fusion_weights.data = torch.tensor([3.0, 1.0, -5.0])
    node.depthwise.weight.data.zero_()[..., 1, 1] = 1
    node.pointwise.weight.data.fill_(1)
    for conv in (node.depthwise, node.pointwise):
        conv.bias.data.zero_()
    maps = [torch.full((1, 1, 2, 2), value) for value in (1.0, 2.0, 7.0)]
    torch.testing.assert_close(node(maps), torch.full((1, 1, 2, 2), (3 * 1 + 1 * 2) / (4 + 1e-4)))


def test_too_few_levels_are_named():
    with pytest.raises(InputError, match='num_outs=2: 3 levels are the least'):
        BiFPN([6, 8, 10], num_outs=2)
