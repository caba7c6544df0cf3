"""The dumbbell unit against its blocks written out window by window, with projections after the windows are taken."""

import math

import pytest
import torch
import torch.nn.functional as F

from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.semantic_tokens import SemanticBlock, SemanticStage, TokenGeneration
from mmsparseswin.layers.swin_block import SwinBlock

DIMS, HEADS = 16, 2


def stage_of(preset, masks='exact', window=7, tokens=3, units=1, global_keys=None, **options):
    torch.manual_seed(0)
    blocks = []
    for _ in range(units):
        blocks.append(SwinBlock(DIMS, HEADS, (window, window)))
        generate = dict(see_seeds=preset == 'cls', shortcut=preset == 'det', layer_scale=0.5) | options
        blocks.append(TokenGeneration(DIMS, HEADS, **generate))
        blocks += [SemanticBlock(DIMS, HEADS, layer_scale=0.5) for _ in range(4)]
    stage = SemanticStage(blocks, window, tokens, preset, masks, global_keys).double().eval()
    for p in stage.parameters():  # biases and norms too: a zero token must not look like padding
        p.data += 0.2 * torch.randn_like(p)
    return stage


def attend_raw(block, queries, keys, mask=None):
    """One window: raw queries (n, C) and raw keys (m, C) are normalised and projected here."""
    return attend_normed(block, queries, block.norm1(keys), mask)


def attend_normed(block, queries, keys, mask=None):
    attn = block.attn
    q = attn.q(block.norm1(queries)).view(len(queries), HEADS, -1).transpose(0, 1)
    k, v = attn.kv(keys).view(len(keys), 2, HEADS, -1).permute(1, 2, 0, 3)
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


def whole(block, maps, bound):
    """Normalised keys (n, C) out of maps (H, W, C), and what is added to their scores."""
    keys, bias = [], []
    for tokens in maps:
        normed = block.norm1(tokens).permute(2, 0, 1)[None]
        side = 1
        while bound and math.ceil(tokens.shape[0] / side) * math.ceil(tokens.shape[1] / side) > bound:
            side += 1
        cut = dict(kernel_size=side, ceil_mode=True)
        keys.append(F.avg_pool2d(normed, **cut, count_include_pad=False)[0].flatten(1).t())
        ones = torch.ones_like(normed[0, :1])
        bias.append(F.avg_pool2d(ones, **cut, divisor_override=1).flatten().log())
    return torch.cat(keys), torch.cat(bias)


def window_by_window(stage, x):
    """Exact masks: whatever is outside the map (H, W, C) does not exist."""
    bound = stage.global_keys
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
        joined = whole(regenerate, (s, x), bound)
        s = each(s, t, lambda i, j, q: q + attend_normed(regenerate, q, *joined))
    else:
        s = each(s, t, lambda i, j, q: q + attend_raw(regenerate, q, around(x, i, j, w, w, w)))
    s = finish(regenerate, s)
    s = finish(local, each(s, t, lambda i, j, q: q + attend_raw(local, q, q)))
    every = whole(together, (s,), bound)
    s = finish(together, each(s, t, lambda i, j, q: q + attend_normed(together, q, *every)))
    every = whole(recover, (s,), bound)
    if cls:
        x = each(x, w, lambda i, j, q: q + attend_normed(recover, q, *every))
    else:
        x = each(x, w, lambda i, j, q: q + attend_raw(recover, q, around(s, i, j, t, 4 * t, 4 * t)))
    return finish(recover, x)


# 14 x 14: the published classifier's size. The wide ones are wider than any neighbourhood.
@pytest.mark.parametrize('preset', ['cls', 'det'])
@pytest.mark.parametrize(
    ('height', 'width', 'window', 'tokens'),
    [(14, 14, 7, 3), (16, 21, 7, 3), (3, 4, 7, 3), (7, 51, 7, 3), (45, 50, 4, 3), (13, 90, 5, 2), (17, 30, 7, 4)],
)
@pytest.mark.parametrize('global_keys', [None, 30])
def test_unit_is_its_blocks_window_by_window(preset, height, width, window, tokens, global_keys):
    stage = stage_of(preset, window=window, tokens=tokens, global_keys=global_keys)
    tolerance = 1e-9 if global_keys is None else 1e-6  # the means are float32 tables
    x = torch.randn(2, height * width, DIMS, dtype=torch.float64)
    with torch.no_grad():
        got, grid = stage(x, Grid(height, width))
        for ours, image in zip(got, x, strict=True):
            expected = window_by_window(stage, image.view(height, width, DIMS)).flatten(0, 1)
            torch.testing.assert_close(ours, expected, rtol=tolerance, atol=tolerance)
    assert grid == Grid(height, width)


def published_windows(x, size, step, before):
    """(1, C, H, W) -> (windows, size * size, C), zeros outside."""
    after = size - step - before
    x = F.pad(x, (before, after, before, after))
    return F.unfold(x, size, stride=step).view(x.shape[1], size * size, -1).permute(2, 1, 0)


def published_mask(height, width, pads, size, step, before):
    """docs/models/stvit_r.md, 'Detector masks': [-pad:] is everything for a pad of 0; the unfolding's own is masked."""
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


@pytest.mark.parametrize('preset', ['cls', 'det'])
# 30 keys: the images' maps are pooled by different factors.
@pytest.mark.parametrize(('pooling', 'global_keys'), [('max', None), ('learned', None), ('max', 30)])
def test_padding_changes_no_valid_token(preset, pooling, global_keys):
    stage = stage_of(preset, pooling=pooling, conv_pos=True, units=2, global_keys=global_keys)
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
