"""Compare necks with a second implementation of docs/models/ssd.md, 'Necks', at every kind of map sizes."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import nn

from mmsparseswin.errors import InputError

R50_B = [1024, 512, 512, 256, 256, 256]
SWIN_T_B = [192, 512, 512, 256, 256, 256]
FPN = dict(type='mmdet.FPN', upsample_cfg=dict(mode='bilinear'), num_outs=6)
NECKS = {'fpn': FPN, 'pan': dict(type='mmsparseswin.PAN'), 'densefpn': dict(type='mmsparseswin.DenseFPN')}
SIZES = {
    'r50 at 300': [(n, n) for n in (38, 19, 10, 5, 3, 1)],
    'swin-t-a at 336': [(n, n) for n in (42, 21, 10, 5, 3, 1)],
    'swin-t-b at 336': [(n, n) for n in (42, 21, 11, 6, 3, 1)],
    'odd': [(17, 40), (9, 20), (4, 10), (2, 5), (1, 3), (1, 1)],
    'hardly halved': [(20, 12), (18, 11), (9, 6), (7, 4), (3, 4), (2, 1)],
}
SLIM = [4, 6, 6, 3, 3, 3]


def build(kind: str, in_channels: list[int], out_channels: int = 8, **options) -> nn.Module:
    return MODELS.build(NECKS[kind] | dict(in_channels=in_channels, out_channels=out_channels) | options)


def maps(sizes, channels=SLIM) -> list[torch.Tensor]:
    return [torch.randn(2, c, *size) for c, size in zip(channels, sizes, strict=True)]


@pytest.mark.parametrize(
    ('kind', 'channels', 'expected'),
    [
        ('fpn', R50_B, 4_262_912),
        ('fpn', SWIN_T_B, 4_049_920),
        ('pan', R50_B, 7_213_312),
        ('pan', SWIN_T_B, 7_000_320),
        ('densefpn', R50_B, 12_520_192),
        ('densefpn', SWIN_T_B, 12_307_200),
    ],
)
def test_published_parameter_counts(kind, channels, expected):
    with torch.device('meta'):
        neck = build(kind, channels, 256)
    assert sum(p.numel() for p in neck.parameters()) == expected


def restate_fpn(neck, inputs):
    outs, running = [], None
    for level in reversed(range(6)):
        lateral = neck.lateral_convs[level].conv
        x = F.conv2d(inputs[level], lateral.weight, lateral.bias)
        if running is not None:
            x = x + F.interpolate(running, size=x.shape[2:], mode='bilinear', align_corners=False)
        running = x
        smooth = neck.fpn_convs[level].conv
        outs.insert(0, F.conv2d(x, smooth.weight, smooth.bias, padding=1))
    return outs


def restate_pan(neck, inputs):
    outs = restate_fpn(neck, inputs)
    for level, conv in enumerate(neck.down_convs):
        down = F.conv2d(outs[level], conv.weight, conv.bias, stride=2, padding=0 if level == 4 else 1)
        outs[level + 1] = down + outs[level + 1]
    return outs


def restate_densefpn(neck, inputs):
    reverse = inputs[::-1]
    a = [F.conv2d(x, conv.weight, conv.bias) for x, conv in zip(reverse, reversed(neck.lateral_convs), strict=True)]
    d = [a[0]]
    for i in range(1, 6):
        hats = []
        for j in range(i):
            hats.append(F.interpolate(d[j], size=a[i].shape[2:], mode='bilinear', align_corners=False))
        joined = torch.cat([*hats, a[i]], dim=1)
        assert joined.shape[1] == 8 * (i + 1)
        d.append(F.conv2d(joined, neck.fusion_convs[i - 1].weight, neck.fusion_convs[i - 1].bias, padding=1))
    return d[::-1]


@pytest.mark.parametrize('sizes', ['r50 at 300', 'swin-t-b at 336'])
@pytest.mark.parametrize(
    ('kind', 'restate'), [('fpn', restate_fpn), ('pan', restate_pan), ('densefpn', restate_densefpn)]
)
def test_necks_are_what_the_spec_says(kind, restate, sizes):
    torch.manual_seed(0)
    neck = build(kind, SLIM)
    for p in neck.parameters():
        nn.init.normal_(p, std=0.3)
    inputs = maps(SIZES[sizes])
    with torch.no_grad():
        for found, expected in zip(neck(inputs), restate(neck, inputs), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize('sizes', SIZES.values(), ids=SIZES)
@pytest.mark.parametrize('kind', NECKS)
def test_map_sizes_are_kept_and_gradients_reach_everything(kind, sizes):
    torch.manual_seed(0)
    neck = build(kind, SLIM)
    neck.init_weights()
    inputs = [x.requires_grad_() for x in maps(sizes)]
    outs = neck(tuple(inputs))
    assert [tuple(out.shape) for out in outs] == [(2, 8, *size) for size in sizes]
    sum((out * torch.randn_like(out)).sum() for out in outs).backward()
    assert [name for name, p in neck.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert all(x.grad.any() for x in inputs)


def test_pan_takes_padding_0_where_it_meets_a_map_whose_odd_border_was_dropped():
    """21 -> 10, as after 'conv' patch merging: cell i of the 10 must see 2i to 2i + 2, not a resized map."""
    neck = build('pan', SLIM)
    inputs = maps(SIZES['swin-t-a at 336'])
    with torch.no_grad():
        outs, fpn = neck(inputs), restate_fpn(neck, inputs)
        down = F.conv2d(outs[1], neck.down_convs[1].weight, neck.down_convs[1].bias, stride=2)
    torch.testing.assert_close(outs[2], down + fpn[2])


@pytest.mark.parametrize('kind', ['pan', 'densefpn'])
def test_convolutions_start_as_xavier_without_offset(kind):
    neck = build(kind, SLIM)
    neck.init_weights()
    convs = [m for m in neck.modules() if isinstance(m, nn.Conv2d)]
    for conv in convs:
        fans = conv.weight[0].numel() + conv.weight[:, 0].numel()
        assert (6 / fans) ** 0.5 * 0.7 < conv.weight.abs().max() <= (6 / fans) ** 0.5
        assert not conv.bias.any()
    assert len(convs) == {'pan': 6 + 6 + 5, 'densefpn': 6 + 5}[kind]


@pytest.mark.parametrize('kind', ['pan', 'densefpn'])
def test_outputs_beyond_the_maps_halve_the_last_as_mmdets_fpn_does(kind):
    neck = build(kind, [4, 6, 6, 3], num_outs=5)
    inputs = [
        torch.randn(1, c, *size) for c, size in zip((4, 6, 6, 3), ((24, 40), (12, 20), (6, 10), (3, 5)), strict=True)
    ]
    outs = neck(inputs)
    assert [tuple(out.shape[2:]) for out in outs] == [(24, 40), (12, 20), (6, 10), (3, 5), (2, 3)]
    torch.testing.assert_close(outs[4], F.max_pool2d(outs[3], 1, stride=2))


@pytest.mark.parametrize('kind', ['pan', 'densefpn'])
def test_fewer_outputs_than_maps_are_refused(kind):
    with pytest.raises(InputError, match='num_outs=3 is less than the 6 maps'):
        build(kind, SLIM, num_outs=3)
