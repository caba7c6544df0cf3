"""Test six maps: published sizes and counts, each part against a second implementation, any image size."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchvision
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import nn

from mmsparseswin import Swin
from mmsparseswin.checkpoints import convert
from mmsparseswin.detection.ssd.merged_swin import MergedSwin
from mmsparseswin.detection.ssd.six_maps import LN2d, SixMapBackbone
from mmsparseswin.errors import InputError
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.patches import ConvPatchMerging, PatchExpanding, PatchMerging

FRAGMENTS = sorted((Path(__file__).parents[3] / 'configs/_base_/models/ssd_backbones').glob('*.py'))
SLIM = dict(embed_dims=16, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8))
SLIM_SPARSE = dict(
    embed_dims=16, depths=(2, 2, 2), num_heads=(1, 2, 4), num_tokens=9, token_dims=32, token_heads=4, token_depth=1
)
EXTRA_3 = ((8, 24, 2, 1), (8, 16, 2, 1), (8, 16, 1, 0))
RESNET_18 = dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, out_indices=(1, 2, 3), norm_eval=False)
# Every kind of wrapped backbone, narrow.
SLIM_PYRAMIDS = {
    'resnet-a': dict(backbone=RESNET_18, tap_channels=(16, 32, 64), extra=EXTRA_3, first_scale=20.0),
    'swin-a': dict(backbone=dict(type='mmsparseswin.MergedSwin', arch=SLIM, patch_merging='conv'), extra=EXTRA_3),
    'swin-b': dict(
        backbone=dict(type='mmsparseswin.Swin', arch=SLIM, patch_merging='conv', out_indices=(2,), output_norm=False),
        expand=True,
        extra=((8, 24, 2, 1), (8, 24, 2, 1), *EXTRA_3),
        norm_cfg=dict(type='mmsparseswin.LN2d'),
    ),
    'sparse': dict(
        backbone=dict(type='mmsparseswin.SparseSwin', arch=SLIM_SPARSE, img_size=64, out_indices=(1, 2, 3)),
        extra=EXTRA_3,
    ),
}


def build(**options) -> SixMapBackbone:
    return MODELS.build(dict(type='mmsparseswin.SixMapBackbone', **options))


def fragment(name: str) -> Config:
    return Config.fromfile(next(path for path in FRAGMENTS if path.stem == name))


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


# docs/models/ssd.md, 'Backbones'; ResNet-50-A is given there without the scale of its first map.
@pytest.mark.parametrize(
    ('name', 'expected'),
    [('r50-a', 25_903_168 + 512), ('r50-b', 12_316_992), ('swin-t-a', 17_134_858), ('swin-t-b', 17_595_914)],
)
def test_published_parameter_counts(name, expected):
    with torch.device('meta'):
        assert parameters(MODELS.build(fragment(name).model.backbone)) == expected


def test_published_swin_with_conv_merging_has_its_parameter_count():
    with torch.device('meta'):
        swin = Swin('tiny', patch_merging='conv', out_type='avg_featmap')
    assert parameters(swin) + 769_000 == 28_284_322


@pytest.mark.parametrize('path', FRAGMENTS, ids=lambda path: path.stem)
def test_configs_tell_the_maps_at_their_input_size(path):
    cfg = Config.fromfile(path)
    cfg.model.backbone.backbone.init_cfg = None
    model = MODELS.build(cfg.model.backbone).eval()
    assert list(model.out_channels) == cfg.out_channels
    with torch.no_grad():
        maps = model(torch.randn(1, 3, cfg.input_size, cfg.input_size))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (channels, side, side) for channels, side in zip(cfg.out_channels, cfg.map_sizes, strict=True)
    ]


def test_published_numbers_of_priors_follow_from_the_maps():
    per_cell = (4, 6, 6, 6, 4, 4)
    counts = {
        path.stem: sum(n * side**2 for n, side in zip(per_cell, Config.fromfile(path).map_sizes, strict=True))
        for path in FRAGMENTS
    }
    expected = {'r50-a': 8_732, 'r50-b': 8_732, 'swin-t-a': 10_492}
    assert counts == {name: expected.get(name, 10_684) for name in counts}


@pytest.mark.parametrize('options', SLIM_PYRAMIDS.values(), ids=SLIM_PYRAMIDS)
@pytest.mark.parametrize('size', [(33, 150), (97, 61), (5, 9)])
def test_any_image_gives_six_maps_and_every_parameter_a_gradient(options, size):
    torch.manual_seed(0)
    model = build(**options)
    model.init_weights()
    model.train()
    maps = model(torch.randn(3, 3, *size))
    assert tuple(m.shape[1] for m in maps) == model.out_channels
    assert all(min(m.shape[2:]) >= 1 for m in maps)
    sides = [m.shape[2:] for m in maps]
    assert all(a >= b for fine, coarse in pairwise(sides) for a, b in zip(fine, coarse, strict=True))
    sum((m * torch.randn_like(m)).sum() for m in maps).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


def test_image_of_224_takes_the_published_padding_of_its_last_map():
    """7 -> 4 -> 2 -> 1: the published code then has padding 1 in its last convolution, of stride 2."""
    model = build(**SLIM_PYRAMIDS['resnet-a'] | dict(extra=(*EXTRA_3[:2], (8, 16, 2, 0)))).eval()
    with torch.no_grad():
        maps = model(torch.randn(2, 3, 224, 224))
        reduce, conv = model.extra[2]
        expected = F.conv2d(reduce(maps[4]), conv.conv.weight, stride=2, padding=1)
    assert [m.shape[-1] for m in maps] == [28, 14, 7, 4, 2, 1]
    torch.testing.assert_close(maps[5], conv.norm(expected).clamp(min=0))


def test_further_maps_are_the_published_chain():
    torch.manual_seed(0)
    model = build(**SLIM_PYRAMIDS['swin-b']).eval()
    for p in model.parameters():
        nn.init.normal_(p, std=0.3)
    with torch.no_grad():
        maps = model(torch.randn(2, 3, 330, 300))
        x = maps[0]
        for (_, _, stride, padding), (reduce, conv), found in zip(
            SLIM_PYRAMIDS['swin-b']['extra'], model.extra, maps[1:], strict=True
        ):
            for module, args in ((reduce, (1, 0)), (conv, (stride, padding))):
                x = F.conv2d(x, module.conv.weight, None, *args)
                mean, var = x.mean(1, keepdim=True), x.var(1, keepdim=True, unbiased=False)
                x = (x - mean) / (var + 1e-5).sqrt()
                x = (x * module.norm.weight[:, None, None] + module.norm.bias[:, None, None]).clamp(min=0)
            torch.testing.assert_close(found, x, rtol=1e-4, atol=1e-4)


def test_first_map_has_length_20_in_every_cell_but_empty_ones():
    model = build(**SLIM_PYRAMIDS['resnet-a']).eval()
    taps = [torch.randn(2, c, s, s) for c, s in ((16, 12), (32, 6), (64, 3))]
    taps[0][0, :, 2, 3] = 0
    taps[0].requires_grad_()
    model.backbone.forward = lambda image: tuple(taps)
    maps = model(torch.randn(2, 3, 96, 96))
    lengths = maps[0].norm(dim=1)
    assert lengths[0, 2, 3] == 0
    lengths[0, 2, 3] = 20
    torch.testing.assert_close(lengths, torch.full_like(lengths, 20.0))
    maps[0].sum().backward()
    assert taps[0].grad.isfinite().all()


@pytest.mark.parametrize('size', [(8, 6), (9, 7), (1, 5)])
def test_conv_merging_is_norm_then_strided_convolution(size):
    merging = ConvPatchMerging(6, 12)
    nn.init.normal_(merging.norm.weight)
    nn.init.normal_(merging.norm.bias)
    x = torch.randn(2, 6, *size)
    out, grid = merging(x.flatten(2).transpose(1, 2), Grid(*size))
    normed = F.layer_norm(x.permute(0, 2, 3, 1), (6,), merging.norm.weight, merging.norm.bias).permute(0, 3, 1, 2)
    normed = F.pad(normed, (0, 0, 0, 1)) if size[0] == 1 else normed
    expected = F.conv2d(normed, merging.reduction.weight, stride=2)
    assert grid == Grid(*expected.shape[2:])
    torch.testing.assert_close(grid.to_map(out), expected)


def test_padding_of_a_batch_does_not_change_conv_merging():
    torch.manual_seed(0)
    model = build(**SLIM_PYRAMIDS['swin-a']).backbone.eval()
    image = torch.randn(1, 3, 75, 90)
    batch = torch.zeros(2, 4, 112, 96)
    batch[0, :3, :75, :90], batch[0, 3, :75, :90] = image[0], 1
    batch[1] = torch.randn(4, 112, 96)
    batch[1, 3] = 1
    with torch.no_grad():
        for alone, among in zip(model(image), model(batch), strict=True):
            height, width = alone.shape[2:]
            torch.testing.assert_close(among[:1, :, :height, :width], alone)
            assert among[0, :, height:].abs().sum() == 0


def test_patch_expanding_is_a_pixel_shuffle_of_the_wider_tokens():
    expanding = PatchExpanding(8)
    x = torch.randn(2, 15, 8)
    out, grid = expanding(x, Grid(3, 5))
    wide = expanding.expansion(F.layer_norm(x, (8,))).unflatten(2, (4, 4)).transpose(2, 3)  # (B, N, C / 2, 4)
    expected = F.pixel_shuffle(wide.flatten(2).transpose(1, 2).unflatten(2, (3, 5)), 2)
    assert grid == Grid(6, 10)
    torch.testing.assert_close(grid.to_map(out), expected)


def test_ln2d_normalises_the_channels_of_each_cell():
    norm = LN2d(7)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(2, 7, 3, 5)
    expected = nn.functional.group_norm(x.permute(0, 2, 3, 1).reshape(-1, 7, 1), 1, norm.weight, norm.bias)
    torch.testing.assert_close(norm(x), expected.view(2, 3, 5, 7).permute(0, 3, 1, 2))


@pytest.mark.parametrize('merging', ['linear', 'conv'])
def test_merged_swin_gives_what_enters_each_stage(merging):
    torch.manual_seed(0)
    merged = MergedSwin(SLIM, patch_merging=merging).eval()
    swin = Swin(SLIM, patch_merging=merging).eval()
    result = swin.load_state_dict(merged.state_dict(), strict=False)
    assert result.unexpected_keys == []
    assert all(name.startswith(('stages.3.blocks.', 'norm')) for name in result.missing_keys)
    entering = []
    for stage in swin.stages[1:]:
        stage.downsample.register_forward_hook(lambda _, args, out: entering.append(out[1].to_map(out[0])))
    image = torch.randn(1, 3, 75, 61)
    with torch.no_grad():
        found = merged(image)
        swin(image)
    assert (merged.out_channels, merged.out_strides) == ((32, 64, 128), (8, 16, 32))
    for a, b in zip(found, entering, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize('name', ['r50-a', 'r50-b'])
def test_torchvision_weights_start_the_resnets(name, tmp_path):
    theirs = torchvision.models.resnet50().eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
    torch.save(theirs.state_dict(), tmp_path / 'resnet50.pth')
    cfg = fragment(name).model.backbone
    cfg.backbone.init_cfg.checkpoint = str(tmp_path / 'resnet50.pth')
    ours = MODELS.build(cfg).eval()
    ours.init_weights()
    if name == 'r50-b':
        theirs.layer3[0].conv2.stride = theirs.layer3[0].downsample[0].stride = (1, 1)
    x = torch.randn(1, 3, 65, 97)
    with torch.no_grad():
        taps = ours.backbone(x)
        x, expected = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x)))), []
        for layer in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
            x = layer(x)
            expected.append(x)
    for tap, wanted in zip(taps, expected[1:] if name == 'r50-a' else expected[2:3], strict=True):
        torch.testing.assert_close(tap, wanted)
    assert all(p.requires_grad for p in ours.parameters())
    assert all(m.training for m in ours.train().modules() if isinstance(m, nn.BatchNorm2d))


@pytest.mark.parametrize('kind', ['swin-a', 'swin-b'])
def test_a_classifier_with_linear_merging_starts_conv_merging(kind, tmp_path):
    torch.manual_seed(0)
    swin = Swin(SLIM, out_type='avg_featmap')
    for stage in swin.stages[1:]:
        norm = stage.downsample.norm
        nn.init.normal_(norm.weight)
        norm.bias.data = norm.weight.data * torch.randn(norm.bias.numel() // 4).repeat(4)
    torch.save({'state_dict': {f'backbone.{k}': v for k, v in swin.state_dict().items()}}, tmp_path / 'swin.pth')
    options = SLIM_PYRAMIDS[kind]
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'swin.pth'))
    model = build(**options | dict(backbone=options['backbone'] | dict(init_cfg=init_cfg)))
    model.init_weights()
    theirs, ours = swin.state_dict(), model.backbone.state_dict()
    same = [name for name in ours if '.downsample.' not in name]
    assert len(same) > 60
    assert all(torch.equal(ours[name], theirs[name]) for name in same)
    # Neighbours of one mean and variance (and offsets that one neighbour's norm can have): the same function.
    cell, grid = torch.randn(16), Grid(2, 2)
    x = torch.stack([cell[torch.randperm(16)] for _ in range(4)])[None]
    old, new = swin.stages[1].downsample, model.backbone.stages[1].downsample
    assert isinstance(old, PatchMerging)
    torch.testing.assert_close(new(x, grid)[0], old(x, grid)[0], rtol=1e-4, atol=1e-4)


def test_weights_of_the_further_maps_are_xavier_and_the_backbone_keeps_its_own():
    model = build(**SLIM_PYRAMIDS['swin-a'])
    before = {name: p.clone() for name, p in model.backbone.named_parameters()}
    model.init_weights()
    assert all(torch.equal(p, before[name]) for name, p in model.backbone.named_parameters())
    for reduce, conv in model.extra:
        for weight in (reduce.conv.weight, conv.conv.weight):
            cells = weight[0, 0].numel()
            bound = math.sqrt(6 / (cells * (weight.shape[0] + weight.shape[1])))
            assert 0.9 * bound < weight.abs().max() <= bound
        assert reduce.conv.bias is None
        assert conv.conv.bias is None


def test_a_file_with_conv_merging_is_read_back(tmp_path):
    swin = Swin(SLIM, patch_merging='conv')
    torch.save(swin.state_dict(), tmp_path / 'swin.pth')
    found = convert(tmp_path / 'swin.pth')
    assert found.model['patch_merging'] == 'conv'
    MODELS.build(found.model).load_state_dict(found.state_dict, strict=True)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(extra=EXTRA_3[:2]), '6 are needed'),
        (dict(tap_channels=(16, 32)), r'tap_channels \(16, 32\).*\[32, 64, 128\]'),
        (dict(backbone=RESNET_18), 'tap_channels None: name the channels'),
        (dict(backbone=dict(type='mmsparseswin.Swin', patch_merging='max')), "patch_merging 'max' is unknown"),
    ],
)
def test_what_cannot_work_is_said(changes, message):
    with pytest.raises(InputError, match=message):
        build(**SLIM_PYRAMIDS['swin-a'] | changes)
