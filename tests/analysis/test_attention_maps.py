"""Test that recording attention leaves the outputs unchanged and maps to the right place on the image."""

import pytest
import torch

from mmsparseswin import SparseSwin, STViTR, Swin
from mmsparseswin.analysis import (
    attention_from,
    attention_received,
    record_attention,
    return_attention,
    rollout,
    stitch,
)
from mmsparseswin.errors import InputError
from mmsparseswin.layers.attention import WindowAttention
from mmsparseswin.layers.cross_attention import CrossAttention
from mmsparseswin.layers.grid import Grid

SLIM = dict(embed_dims=16, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8))
SLIM_SPARSE = dict(
    embed_dims=16, depths=(2, 2, 2), num_heads=(1, 2, 4), num_tokens=9, token_dims=32, token_heads=4, token_depth=2
)
SLIM_SEMANTIC = dict(
    embed_dims=16, depths=(1, 2, 6, 1), num_heads=(1, 2, 4, 8), num_tokens=9, token_dims=32, token_heads=4
)
BUILDERS = {
    'swin': lambda **kw: Swin(SLIM, img_size=64, **kw),
    'sparse': lambda **kw: SparseSwin(SLIM_SPARSE, img_size=64, **kw),
    'sparse-mlp': lambda **kw: SparseSwin(SLIM_SPARSE, img_size=64, token_to_map='mlp', **kw),
    'sparse-tile': lambda **kw: SparseSwin(SLIM_SPARSE, img_size=64, token_resize='tile', **kw),
    'sparse-pooled': lambda **kw: SparseSwin(SLIM_SPARSE, img_size=64, out_type='avg_featmap', **kw),
    'semantic': lambda **kw: STViTR(SLIM_SEMANTIC, layer_scale=0.5, window_size=4, **kw),
    'semantic-pooled': lambda **kw: STViTR(SLIM_SEMANTIC, layer_scale=0.5, window_size=3, global_keys=10, **kw),
    'semantic-det': lambda **kw: STViTR(SLIM_SEMANTIC, 'det', layer_scale=0.5, window_size=2, sparta=True, **kw),
}
every_backbone = pytest.mark.parametrize('build', BUILDERS.values(), ids=BUILDERS)


def recorded_block(height, width, window, shift, batch=2):
    """Return a record of one block at a grid, and the attention of all its tokens computed without windows."""
    torch.manual_seed(0)
    model = Swin(
        dict(embed_dims=8, depths=(2,), num_heads=(2,)), img_size=96, patch_size=4, window_size=window
    ).double()
    block = model.stages[0].blocks[shift]
    torch.nn.init.normal_(block.attn.relative_position_bias_table)
    torch.nn.init.normal_(block.attn.qkv.weight)  # far from uniform
    seen = []
    handle = block.norm1.register_forward_hook(lambda m, a, out: seen.append(out))
    with torch.no_grad():
        _, records = return_attention(model, torch.randn(batch, 3, 4 * height, 4 * width).double())
        expected = attention_between_all(block.attn, seen[0], height, width, window, shift)
    handle.remove()
    return records[shift], expected


def attention_between_all(attn, x, height, width, window, shift):
    """Return (B, heads, N, N): a softmax over all tokens of the same window, with windows as cells of the image."""
    y, z = torch.arange(height * width) // width, torch.arange(height * width) % width
    # Windows start at the shift; the tokens before it form a window of their own.
    cells = [
        torch.div(p - (window // 2 if shift and side > window else 0), window, rounding_mode='floor')
        for p, side in ((y, height), (z, width))
    ]
    same = (cells[0][:, None] == cells[0]) & (cells[1][:, None] == cells[1])
    dy, dx = y[:, None] - y, z[:, None] - z
    row = (dy + window - 1) * (2 * window - 1) + dx + window - 1
    bias = attn.relative_position_bias_table[row.where(same, 0)].permute(2, 0, 1)
    q, k, _ = attn.qkv(x).unflatten(-1, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5 + bias
    return scores.masked_fill(~same, -torch.inf).softmax(-1)


# Whole windows, padded ones, an axis or both covered by one window, an even window.
GRIDS = [(8, 12, 4), (9, 14, 4), (10, 15, 7), (5, 20, 7), (7, 7, 7), (3, 5, 7)]


@pytest.mark.parametrize('shift', [0, 1])
@pytest.mark.parametrize(('height', 'width', 'window'), GRIDS)
def test_stitched_attention_is_that_between_all_tokens_of_a_window(height, width, window, shift):
    record, expected = recorded_block(height, width, window, shift)
    dense = stitch(record)
    torch.testing.assert_close(dense, expected)
    assert torch.equal(dense == 0, expected == 0), 'a masked entry is not 0'
    torch.testing.assert_close(dense.sum(-1), torch.ones_like(dense[..., 0]))
    torch.testing.assert_close(attention_received(record).flatten(2), expected.sum(2))
    for y, x in ((0, 0), (height - 1, width - 1), (height // 2, 1)):
        assert torch.equal(attention_from(record, y, x).flatten(2), dense[:, :, y * width + x])


@pytest.mark.parametrize(('height', 'width', 'window'), GRIDS)
def test_rollout_follows_the_blocks_of_a_stage(height, width, window):
    torch.manual_seed(0)
    model = Swin(dict(embed_dims=8, depths=(4,), num_heads=(2,)), img_size=96, window_size=window).double()
    with torch.no_grad():
        _, records = return_attention(model, torch.randn(2, 3, 4 * height, 4 * width).double())
    expected = torch.eye(height * width).double()
    for record in records:
        expected = (stitch(record).mean(1) + torch.eye(height * width)) / 2 @ expected
    got = rollout(records, stage=0)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(got.sum(-1), torch.ones_like(got[..., 0]))


def test_rollout_of_sparse_tokens():
    model = BUILDERS['sparse']().eval()
    with torch.no_grad():
        _, records = return_attention(model, torch.randn(2, 3, 50, 75))
    first, second = (record.weights.mean(1) for record in records if record.kind == 'tokens')
    eye = torch.eye(9)
    torch.testing.assert_close(rollout(records, 3), (second + eye) / 2 @ ((first + eye) / 2))


@every_backbone
@pytest.mark.parametrize('size', [(64, 64), (101, 150), (31, 47)])
def test_every_block_is_recorded_and_the_output_stays(build, size):
    torch.manual_seed(0)
    model = build().eval()
    x = torch.randn(2, 3, *size)
    with torch.no_grad():
        expected = model(x)
        outs, records = return_attention(model, x)
        again = model(x)
    for out, same, reference in zip(outs, again, expected, strict=True):
        torch.testing.assert_close(out, reference)  # explicit softmax against fused attention
        assert torch.equal(same, reference)
    blocks = [(i, j) for i, stage in enumerate(model.stages) for j in range(len(stage.blocks))]
    assert [(r.stage, r.block) for r in records if r.kind != 'map'] == blocks
    for record in records:
        height, width = (-(-side // (4 * 2**record.stage)) for side in size)
        if record.kind == 'tokens':
            assert record.grid == Grid(-(-size[0] // 16), -(-size[1] // 16))
            assert record.keys == ()
            count = record.weights.shape[-1]
            assert record.weights.shape == (2, 4, count, count)
            assert count % 9 == 0
        elif record.kind == 'map':
            assert record.weights.shape[:3] == (2, 4, height * width)
            assert (record.grid, record.block) == (Grid(height, width), 2)
        elif record.kind == 'semantic':
            plan = model.stages[2].plan(Grid(height, width), x.device).of_block(record.block)
            assert record.plan is plan
            keys = sum(g.height * g.width for g in plan.key_maps) if plan.keys is None else len(plan.keys)
            area = (
                record.window[0] * record.window[1] if record.window else plan.query_map.height * plan.query_map.width
            )
            assert record.weights.shape == (2 * plan.windows, 4, area, keys // plan.windows)
            assert (record.grid, record.keys) == (plan.query_map, plan.key_maps)
        else:
            h, w = record.window
            assert record.keys == (record.grid,)
            windows = -(-height // h) * -(-width // w)
            assert record.grid == Grid(height, width)
            assert record.weights.shape == (2 * windows, 2**record.stage, h * w, h * w)
            assert record.shift == (h // 2 if record.block % 2 and windows > 1 else 0)
        torch.testing.assert_close(record.weights.sum(-1), torch.ones_like(record.weights[..., 0]))
    assert ('map' in {r.kind for r in records}) == (
        model.stages[3].downsample is not None and getattr(model, 'sparta', False)
    )


def values_of(attn, args):
    """Return the key tokens (B, N, C)."""
    x, context = args[:2]
    if isinstance(attn, CrossAttention):
        return attn.kv(context)[..., x.shape[-1] :]
    return attn.qkv(x)[..., 2 * x.shape[-1] :]


# No size pads a window, whose tokens the published models look at and `stitch` leaves out; 224: one window in stage 4.
@pytest.mark.parametrize('size', [(224, 224), (96, 224)])
@pytest.mark.parametrize('preset', ['cls', 'det', 'official', 'pooled'])
def test_stitched_attention_makes_the_output_of_its_block(preset, size):
    torch.manual_seed(0)
    options = {
        'official': dict(preset='det', masks='official'), 'pooled': dict(global_keys=7, use_global=True)
    }.get(preset, dict(preset=preset))  # fmt: skip
    # A wide map in stage 3, where not every query sees every key, and no more than that: dense matrices are large.
    slim = dict(embed_dims=8, depths=(1, 1, 6, 2), num_heads=(1, 1, 2, 2))
    windows = (8, 4, 2, 7) if size == (96, 224) else 7
    model = STViTR(slim, window_size=windows, layer_scale=0.5, tokens_per_window=2, **options).eval()
    for p in model.parameters():
        p.data += 0.2 * torch.randn_like(p)
    seen = []
    for module in model.modules():
        if isinstance(module, (CrossAttention, WindowAttention)):
            module.register_forward_hook(lambda module, args, out: seen.append((module, args, out[0])))
    with torch.no_grad():
        _, records = return_attention(model, torch.randn(1, 3, *size))
        assert len(seen) == len(records) == 10
        for record, (attn, args, out) in zip(records, seen, strict=True):
            if size == (96, 224) and record.stage == 3:
                continue  # 3 rows in windows of 7
            if preset == 'official' and record.kind == 'semantic':
                continue  # it attends to the outside of the map
            values = values_of(attn, args).unflatten(2, (attn.num_heads, -1)).transpose(1, 2)
            dense = stitch(record)
            got = attn.proj((dense @ values[:, :, : dense.shape[-1]]).transpose(1, 2).flatten(2))
            torch.testing.assert_close(got, out, rtol=1e-4, atol=1e-4)
            place = divmod(record.grid.height * record.grid.width // 2, record.grid.width)
            row = [attention_from(record, *place, keys=i).flatten(2) for i in range(len(record.keys))]
            torch.testing.assert_close(torch.cat(row, 2), dense[:, :, record.grid.height * record.grid.width // 2])
            column = [attention_received(record, i).flatten(2) for i in range(len(record.keys))]
            torch.testing.assert_close(torch.cat(column, 2), dense.sum(2))
    if size == (224, 224):
        shifted = [r.shift for r in records if r.kind == 'window']
        assert shifted == [0, 0, 0, 0, 3 if preset == 'official' else 0], 'a single window'


def test_windows_come_image_by_image():
    model = BUILDERS['swin']().eval()
    x = torch.randn(3, 3, 75, 101)
    with torch.no_grad():
        _, together = return_attention(model, x)
        for i in range(3):
            _, alone = return_attention(model, x[i : i + 1])
            for a, b in zip(alone, together, strict=True):
                torch.testing.assert_close(a.weights, b.weights.unflatten(0, (3, -1))[i])


@every_backbone
def test_no_hook_stays_behind(build):
    model = build()
    model.set_grad_checkpointing()
    with pytest.raises(ZeroDivisionError), record_attention(model):
        raise ZeroDivisionError
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(stage.with_cp for stage in model.stages)


@every_backbone
def test_weights_carry_gradients_with_checkpointing_too(build):
    model = build(with_cp=True, drop_path_rate=0.0).train()
    _, records = return_attention(model, torch.randn(1, 3, 64, 64))
    sum((r.weights**2).sum() for r in records).backward()
    assert next(model.parameters()).grad.abs().sum() > 0


def test_a_compiled_model_is_recorded_too():
    model = Swin(dict(embed_dims=8, depths=(2,), num_heads=(1,)), img_size=32).eval()
    compiled = torch.compile(model, backend='eager')
    x = torch.randn(1, 3, 40, 40)
    with torch.no_grad():
        (expected,) = compiled(x)
        (out,), records = return_attention(compiled, x)
        assert len(records) == 2
        torch.testing.assert_close(out, expected)


def test_a_classifier_around_the_backbone():
    registry = pytest.importorskip('mmpretrain.registry')
    backbone = dict(type='mmsparseswin.Swin', arch=SLIM, img_size=64, out_type='avg_featmap')
    head = dict(type='mmpretrain.LinearClsHead', num_classes=5, in_channels=128)
    model = registry.MODELS.build(dict(type='mmpretrain.ImageClassifier', backbone=backbone, head=head)).eval()
    logits, records = return_attention(model, torch.randn(2, 3, 64, 64))
    assert logits.shape == (2, 5)
    assert len(records) == 8


@every_backbone
def test_one_padded_image_has_the_attention_it_has_alone(build):
    torch.manual_seed(0)
    model = build().eval()
    image = torch.randn(1, 3, 75, 101)
    batch = torch.zeros(1, 4, 96, 128)
    batch[:, :3, :75, :101], batch[:, 3, :75, :101] = image, 1
    with torch.no_grad():
        (_, alone), (_, padded) = return_attention(model, image), return_attention(model, batch)
    for a, b in zip(alone, padded, strict=True):
        assert a._replace(weights=None) == b._replace(weights=None)
        # Padding slots among semantic tokens receive no attention.
        a, b = (stitch(r) if r.kind == 'semantic' else r.weights for r in (a, b))
        torch.testing.assert_close(a, b)


def test_bad_requests_say_what_to_do():
    model = BUILDERS['sparse']().eval()
    batch = torch.ones(2, 4, 64, 64)
    batch[0, 3, 40:] = 0
    with pytest.raises(InputError, match='one image at a time'):
        return_attention(model, batch)
    assert not any(m._forward_hooks for m in model.modules())
    with pytest.raises(InputError, match='Linear holds no backbone'):
        return_attention(torch.nn.Linear(2, 2), batch)
    with torch.no_grad():
        _, records = return_attention(model, batch[:, :3])
    window, tokens = records[0], records[-2]
    with pytest.raises(InputError, match=r'\(16, 0\) is outside the grid of 16 x 16'):
        attention_from(window, 16, 0)
    for look in (stitch, attention_received):
        with pytest.raises(InputError, match="kind 'tokens' has no windows"):
            look(tokens)
    with pytest.raises(InputError, match='stage 4'):
        rollout(records, 4)
    with torch.no_grad():
        _, records = return_attention(BUILDERS['semantic']().eval(), batch[:1, :3])
    with pytest.raises(InputError, match='no rollout through stage 2'):
        rollout(records, 2)


def test_a_matrix_too_large_is_refused_and_single_queries_are_not():
    model = Swin(dict(embed_dims=4, depths=(1,), num_heads=(1,)), img_size=64, patch_size=1)
    with torch.no_grad():
        _, (record,) = return_attention(model, torch.randn(1, 3, 130, 127))  # 16,510 tokens: 2.7e8 pairs
    with pytest.raises(InputError, match='attention_from'):
        stitch(record)
    assert attention_from(record, 129, 126).sum().item() == pytest.approx(1, abs=1e-4)
    assert attention_received(record).mean().item() == pytest.approx(1, abs=1e-4)
