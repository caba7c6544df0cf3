"""The dumbbell unit against its blocks written out window by window, with projections after the windows are taken."""

import pytest
import torch
import torch.nn.functional as F

from mmsparseswin.layers.blocks import SwinBlock
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.neighbourhoods import Neighbourhood, unit_plan
from mmsparseswin.layers.semantic_tokens import (
    CrossAttention,
    SemanticBlock,
    SemanticStage,
    TokenGeneration,
    max_pool,
    weighted_pool,
)

CPU = torch.device('cpu')
DIMS, HEADS = 16, 2


def stage_of(preset, masks='exact', window=7, tokens=3, units=1, **options):
    torch.manual_seed(0)
    blocks = []
    for _ in range(units):
        blocks.append(SwinBlock(DIMS, HEADS, (window, window)))
        generate = dict(see_seeds=preset == 'cls', shortcut=preset == 'det', layer_scale=0.5) | options
        blocks.append(TokenGeneration(DIMS, HEADS, **generate))
        blocks += [SemanticBlock(DIMS, HEADS, layer_scale=0.5) for _ in range(4)]
    stage = SemanticStage(blocks, window, tokens, preset, masks).double().eval()
    for p in stage.parameters():  # biases and norms too: a zero token must not look like padding
        p.data += 0.2 * torch.randn_like(p)
    return stage


def attend_raw(block, queries, keys, mask=None):
    """One window: raw queries (n, C) and raw keys (m, C) are normalised and projected here."""
    attn = block.attn
    q = attn.q(block.norm1(queries)).view(len(queries), HEADS, -1).transpose(0, 1)
    k, v = attn.kv(block.norm1(keys)).view(len(keys), 2, HEADS, -1).permute(1, 2, 0, 3)
    scores = q @ k.transpose(1, 2) * q.shape[-1] ** -0.5
    if mask is not None:
        scores = scores + mask
    out = scores.softmax(-1) @ v
    return block.layer_scale_1 * attn.proj(out.transpose(0, 1).flatten(1))


def finish(block, x):
    return x + block.layer_scale_2 * block.mlp(block.norm2(x))


def cells(length, window, tokens):
    """(start, stop) of each pooling cell that begins inside ``length``."""
    found = [
        (i * window + a * window // tokens, i * window + -(-(a + 1) * window // tokens))
        for i in range(-(-length // window))
        for a in range(tokens)
    ]
    return [(start, min(stop, length)) for start, stop in found if start < length]


def window_by_window(stage, x):
    """Exact masks: whatever is outside the map (H, W, C) does not exist."""
    w, t, cls = stage.window, stage.tokens, stage.preset == 'cls'
    base, generate, regenerate, local, together, recover = stage.blocks
    height, width, dims = x.shape
    x = base(x.reshape(1, -1, dims), Grid(height, width)).view(x.shape)
    rows, cols = cells(height, w, t), cells(width, w, t)
    seeds = torch.stack([torch.stack([x[a:b, c:d].amax((0, 1)) for c, d in cols]) for a, b in rows])
    places = [(i, j) for i in range(-(-height // w)) for j in range(-(-width // w))]

    def around(m, i, j, step, before, after):
        return m[
            max(i * step - before, 0) : (i + 1) * step + after, max(j * step - before, 0) : (j + 1) * step + after
        ].reshape(-1, dims)

    def each(queries, step, out):
        result = queries.clone()
        for i, j in places:
            part = result[i * step : (i + 1) * step, j * step : (j + 1) * step]
            part.copy_(
                out(i, j, queries[i * step : (i + 1) * step, j * step : (j + 1) * step].reshape(-1, dims)).view(
                    part.shape
                )
            )
        return result

    if cls:
        s = each(seeds, t, lambda i, j, q: attend_raw(generate, q, torch.cat((q, around(x, i, j, w, w // 2, w // 2)))))
    else:
        s = each(seeds, t, lambda i, j, q: q + attend_raw(generate, q, around(x, i, j, w, w // 2, w - w // 2)))
    s = finish(generate, s)
    if cls:
        joined = torch.cat((s.reshape(-1, dims), x.reshape(-1, dims)))
        s = each(s, t, lambda i, j, q: q + attend_raw(regenerate, q, joined))
    else:
        s = each(s, t, lambda i, j, q: q + attend_raw(regenerate, q, around(x, i, j, w, w, w)))
    s = finish(regenerate, s)
    s = finish(local, each(s, t, lambda i, j, q: q + attend_raw(local, q, q)))
    every = s.reshape(-1, dims)
    s = finish(together, each(s, t, lambda i, j, q: q + attend_raw(together, q, every)))
    every = s.reshape(-1, dims)
    x = each(x, w, lambda i, j, q: q + attend_raw(recover, q, every if cls else around(s, i, j, t, 4 * t, 4 * t)))
    return finish(recover, x)


# 14 x 14: the published classifier's size. The wide ones are wider than any neighbourhood.
@pytest.mark.parametrize('preset', ['cls', 'det'])
@pytest.mark.parametrize(
    ('height', 'width', 'window', 'tokens'),
    [(14, 14, 7, 3), (16, 21, 7, 3), (3, 4, 7, 3), (7, 51, 7, 3), (45, 50, 4, 3), (13, 90, 5, 2), (17, 30, 7, 4)],
)
def test_unit_is_its_blocks_window_by_window(preset, height, width, window, tokens):
    stage = stage_of(preset, window=window, tokens=tokens)
    x = torch.randn(2, height * width, DIMS, dtype=torch.float64)
    with torch.no_grad():
        got, grid = stage(x, Grid(height, width))
        for ours, image in zip(got, x, strict=True):
            expected = window_by_window(stage, image.view(height, width, DIMS)).flatten(0, 1)
            torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)
    assert grid == Grid(height, width)


def published_windows(x, size, step, before):
    """(1, C, H, W) -> (windows, size * size, C), zeros outside."""
    after = size - step - before
    x = F.pad(x, (before, after, before, after))
    return F.unfold(x, size, stride=step).view(x.shape[1], size * size, -1).permute(2, 1, 0)


def published_mask(height, width, pads, size, step, before):
    """The mask of spec D2: the slice [-pad:] is everything for a pad of 0; what the unfolding adds is masked too."""
    banned = torch.zeros(1, 1, height, width, dtype=torch.float64)
    banned[:, :, -pads[0] or None :, -pads[1] or None :] = 1
    after = size - step - before
    banned = F.pad(banned, (before, after, before, after), value=1.0)
    return F.unfold(banned, size, stride=step)[0].t() * -1000.0  # (windows, size * size)


def published_unit(stage, x):
    """The released detector's unit, un-hoisted: raw tokens (H, W, C) are unfolded, then normalised and projected."""
    base, generate, regenerate, local, together, recover = stage.blocks
    height, width, dims = x.shape
    pads = -height % 7, -width % 7
    x = base(x.reshape(1, -1, dims), Grid(height, width)).view(1, height, width, dims).permute(0, 3, 1, 2)
    padded = F.pad(x, (0, pads[1], 0, pads[0]))
    rows, cols = padded.shape[2] // 7, padded.shape[3] // 7
    image_windows = published_windows(padded, 7, 7, 0)
    s = F.adaptive_max_pool2d(image_windows.transpose(1, 2).unflatten(2, (7, 7)), 3).flatten(2).transpose(1, 2)

    def back(windows, side):  # (windows, side * side, C) -> (1, C, H, W)
        m = windows.view(rows, cols, side, side, dims).permute(4, 0, 2, 1, 3)
        return m.reshape(1, dims, rows * side, cols * side)

    def cross(block, q, keys, masks):
        out = [a + attend_raw(block, a, b, m) for a, b, m in zip(q, keys, masks, strict=True)]
        return torch.stack(out)

    for block, size, before in ((generate, 14, 3), (regenerate, 21, 7)):
        masks = published_mask(rows * 7, cols * 7, pads, size, 7, before)
        s = finish(block, cross(block, s, published_windows(padded, size, 7, before), masks))
    s = finish(local, cross(local, s, s, [None] * len(s)))
    every = s.flatten(0, 1)[None]
    s = finish(together, cross(together, every, every, [None])).view(s.shape)
    masks = published_mask(rows * 3, cols * 3, pads, 27, 3, 12)
    x = back(cross(recover, image_windows, published_windows(back(s, 3), 27, 3, 12), masks), 7)
    return finish(recover, x[0, :, :height, :width].permute(1, 2, 0))


# No padding, padding on one side (each), on both, and wider than the 27 tokens of block 5.
@pytest.mark.parametrize(('height', 'width'), [(14, 14), (16, 21), (14, 20), (17, 25), (12, 80), (3, 5)])
def test_official_masks_are_the_published_computation(height, width):
    stage = stage_of('det', 'official')
    x = torch.randn(2, height * width, DIMS, dtype=torch.float64)
    with torch.no_grad():
        got, _ = stage(x, Grid(height, width))
        for ours, image in zip(got, x, strict=True):
            expected = published_unit(stage, image.view(height, width, DIMS)).flatten(0, 1)
            torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


# Spec D2, measured on the published code: (real tokens masked, padding tokens visible) at 50 x 80 and 50 x 84.
@pytest.mark.parametrize(('width', 'masked', 'visible'), [(80, 12, 82), (84, 144, None)])
def test_official_recovery_masks_the_wrong_tokens(width, masked, visible):
    plan = unit_plan(Grid(50, width), 7, 3, 'det', 'official', CPU)
    rows, cols = plan.raster.height, plan.raster.width
    keys, mask = plan.recover.keys.view(-1, 27 * 27), plan.recover.mask[0]
    hidden = torch.zeros(rows * cols + 1, dtype=torch.bool)
    hidden[keys[mask < 0]] = True
    hidden = hidden[:-1].view(rows, cols)
    exact = unit_plan(Grid(50, width), 7, 3, 'det', 'exact', CPU).raster
    real = torch.zeros(rows, cols, dtype=torch.bool)
    real[: exact.height, : exact.width] = True
    assert (hidden & real).sum() == masked
    if visible is not None:
        assert (~hidden & ~real).sum() == visible


@pytest.mark.parametrize('preset', ['cls', 'det'])
@pytest.mark.parametrize('pooling', ['max', 'learned'])
def test_padding_changes_no_valid_token(preset, pooling):
    stage = stage_of(preset, pooling=pooling, conv_pos=True, units=2)
    images = [torch.randn(h, w, DIMS, dtype=torch.float64) for h, w in ((16, 40), (9, 31), (30, 15))]
    padded = torch.full((3, 37, 48, DIMS), 9.0, dtype=torch.float64)
    for slot, image in zip(padded, images, strict=True):
        slot[: image.shape[0], : image.shape[1]] = image
    grid = Grid(37, 48, tuple((i.shape[0], i.shape[1]) for i in images))
    with torch.no_grad():
        together, _ = stage(padded.flatten(1, 2), grid)
        for out, image in zip(together.view(padded.shape), images, strict=True):
            h, w, _ = image.shape
            alone, _ = stage(image.reshape(1, -1, DIMS), Grid(h, w))
            torch.testing.assert_close(out[:h, :w].flatten(0, 1), alone[0], rtol=1e-9, atol=1e-9)


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


@pytest.mark.parametrize('tokens', [3, 4])
def test_learned_pool_is_a_mean_for_equal_logits_and_picks_the_strongest_token(tokens):
    grid = Grid(9, 11)
    plan = unit_plan(grid, 7, tokens, 'det', 'exact', CPU)
    x = torch.randn(1, 99, DIMS)
    even = weighted_pool(x, torch.zeros(1, 99), plan)[0].view(plan.raster.height, plan.raster.width, DIMS)
    rows, cols = cells(9, 7, tokens), cells(11, 7, tokens)
    image = x.view(9, 11, DIMS)
    expected = torch.stack([torch.stack([image[a:b, c:d].mean((0, 1)) for c, d in cols]) for a, b in rows])
    torch.testing.assert_close(even, expected)
    logits = torch.zeros(1, 99)
    logits[0, 0] = 100.0
    torch.testing.assert_close(weighted_pool(x, logits, plan)[0, 0], x[0, 0])


# 3 x 3: the size of the table. 2 x 5: narrower than it and wider, where offsets of 3 and 4 take the bias of 2.
@pytest.mark.parametrize(('height', 'width'), [(3, 3), (2, 5)])
def test_relative_position_bias_depends_on_the_offset(height, width):
    torch.manual_seed(0)
    attention = CrossAttention(DIMS, HEADS, bias_side=(3, 3)).double()
    torch.nn.init.normal_(attention.relative_position_bias_table)
    x = torch.randn(2, height * width, DIMS, dtype=torch.float64)
    with torch.no_grad():
        got = attention(x, x, Neighbourhood(), (height, width))
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


def test_small_maps_need_no_neighbourhood_tables():
    plan = unit_plan(Grid(14, 14), 7, 3, 'det', 'exact', CPU)
    assert plan.recover == (None, None, None, None, 1, False)
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
    ]
    plans = [unit_plan(*a) for a in arguments]
    assert len({id(p) for p in plans}) == len(plans)
    assert unit_plan(*arguments[0]) is plans[0]
