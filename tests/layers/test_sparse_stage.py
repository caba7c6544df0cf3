import pytest
import torch
import torch.nn.functional as F

from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.patches import PatchMerging
from mmsparseswin.layers.resize import resize_map, resize_matrix
from mmsparseswin.layers.sparse_stage import (
    SparseStage,
    TokenBlock,
    TokensToMapAttention,
    TokensToMapMLP,
    sincos_pos_embed,
)

RESIZES = ('weight', 'feature', 'tile')


def stage(seed=0, **kwargs):
    torch.manual_seed(seed)
    return SparseStage(12, 9, 16, num_heads=4, depth=1, grid_size=6, **kwargs).eval()


def tokens_by_the_book(s, x, side):
    """docs/models/sparse_swin.md, 'Converter' and 'SparTa block', literally, at the build grid."""
    f = F.conv2d(x.transpose(1, 2).view(len(x), -1, side, side), s.convert.weight, s.convert.bias, padding=1)
    t = (f.flatten(2) @ s.lin_t.weight.t() + s.lin_t.bias).transpose(1, 2)
    for block in s.blocks:
        n = block.norm1(t)
        q, k, v = block.attn.qkv(n).view(len(x), -1, 3, 4, 4).permute(2, 0, 3, 1, 4)
        a = (q @ k.transpose(-2, -1) / 4**0.5).softmax(-1)
        t = t + block.attn.proj((a @ v).transpose(1, 2).reshape(n.shape))
        t = t + F.gelu(block.mlp.fc2(F.gelu(block.mlp.fc1(block.norm2(t)))))
    return s.norm(t)


@pytest.mark.parametrize('resize', RESIZES)
def test_tokens_at_the_build_grid_are_the_published_ones(resize):
    s = stage(token_resize=resize)
    x = torch.randn(2, 36, 12)
    torch.testing.assert_close(s.tokens(x, Grid(6, 6)), tokens_by_the_book(s, x, 6))


@pytest.mark.parametrize('resize', RESIZES)
@pytest.mark.parametrize('size', [(6, 6), (9, 14), (2, 3), (1, 1), (25, 7)])
def test_a_constant_field_gives_equal_tokens_at_every_size(resize, size):
    s = stage(token_resize=resize)
    field = torch.randn(1, 16, 1, 1)
    at_build = s._collect(field.expand(1, 16, 6, 6))
    got = s._collect(field.expand(1, 16, *size))
    torch.testing.assert_close(got, at_build.repeat(1, 1, got.shape[-1] // 9), rtol=1e-4, atol=1e-5)


def test_smooth_fields_give_nearly_equal_tokens_at_larger_sizes():
    # Bicubic weights times the ratio of areas stay within a few percent; without the ratio they are 4 times off.
    s = stage()
    coarse = torch.randn(1, 16, 3, 3)
    small = F.interpolate(coarse, (6, 6), mode='bicubic', align_corners=False)
    large = F.interpolate(coarse, (12, 12), mode='bicubic', align_corners=False)
    a, b = s._collect(small), s._collect(large)
    assert (a - b).norm() / a.norm() < 0.1


def test_another_size_uses_the_trained_weights_and_changes_none():
    # A third-party "any size" fork draws the linear layer anew, at random and outside the optimiser
    # (docs/models/sparse_swin.md, 'Any size').
    s = stage()
    before = {k: v.clone() for k, v in s.state_dict().items()}
    x = torch.randn(1, 7 * 11, 12)
    first = s.tokens(x, Grid(7, 11))
    assert torch.equal(first, s.tokens(x, Grid(7, 11)))
    assert all(torch.equal(v, before[k]) for k, v in s.state_dict().items())
    s.tokens(x, Grid(7, 11))[..., 0].sum().backward()  # of all channels a layer norm's sum is 0
    assert s.lin_t.weight.grad.abs().sum() > 0
    with torch.no_grad():
        s.lin_t.weight.zero_()
        s.lin_t.bias.zero_()
    assert torch.equal(s.tokens(x, Grid(7, 11)), s.tokens(2 * x, Grid(7, 11)))


def test_tiles_make_tokens_with_the_area():
    s = stage(token_resize='tile')
    assert s.tokens(torch.randn(1, 12 * 18, 12), Grid(12, 18)).shape == (1, 2 * 3 * 9, 16)
    x = torch.randn(1, 12 * 6, 12)  # two tiles, before attention: each by itself
    f = s.convert(x.transpose(1, 2).view(1, 12, 12, 6))
    both = s._collect(f)
    torch.testing.assert_close(both[..., :9], s._collect(f[:, :, :6]))
    torch.testing.assert_close(both[..., 9:], s._collect(f[:, :, 6:]))


def test_mlp_map_is_the_published_one_and_resizes():
    s = stage(token_to_map=TokensToMapMLP(9, 16, 6))
    x = torch.randn(1, 36, 12)
    out, grid = s(x, Grid(6, 6))
    t = s.tokens(x, Grid(6, 6)).transpose(1, 2)
    m = s.token_to_map
    expected = F.gelu(F.gelu(t @ m.fc1.weight.t() + m.fc1.bias) @ m.fc2.weight.t() + m.fc2.bias)
    assert grid == Grid(3, 3)
    torch.testing.assert_close(out.transpose(1, 2), expected)
    assert out.min() > -0.18  # GELU last
    for resize in RESIZES:
        s.token_resize = resize
        out, grid = s(torch.randn(2, 7 * 13, 12), Grid(7, 13))
        assert grid == Grid(4, 7)
        assert out.shape == (2, 28, 16)


@pytest.mark.parametrize('resize', RESIZES)
@pytest.mark.parametrize('kind', ['mlp', 'cross'])
def test_a_padded_image_gives_the_tokens_it_gives_alone(resize, kind):
    torch.manual_seed(0)
    extra = {'token_to_map': TokensToMapMLP(9, 16, 6)}
    if kind == 'cross':
        extra = {'downsample': PatchMerging(12, 24), 'token_to_map': TokensToMapAttention(24, 16, 4)}
    s = stage(token_resize=resize, **extra)
    x = torch.randn(2, 8, 11, 12)
    out, grid = s(x.flatten(1, 2), Grid(8, 11, ((5, 7), (8, 4))))
    out = out.unflatten(1, (grid.height, grid.width))
    for i, (h, w) in enumerate(((5, 7), (8, 4))):
        alone, small = s(x[i : i + 1, :h, :w].flatten(1, 2), Grid(h, w))
        torch.testing.assert_close(
            out[i, : small.height, : small.width], alone[0].unflatten(0, (small.height, small.width))
        )
        assert not out[i, small.height :].any()
        assert not out[i, :, small.width :].any()


def test_the_position_embedding_enters_like_features_do():
    s = stage(pos_encoding='sincos1d')
    x = torch.randn(1, 36, 12)
    f = s.convert(x.transpose(1, 2).view(1, 12, 6, 6)).flatten(2)
    expected = F.linear(f + sincos_pos_embed(36, 16).t(), s.lin_t.weight, s.lin_t.bias)
    torch.testing.assert_close(s._collect(f.view(1, 16, 6, 6)), expected)
    p, c, e = 5, 7, 16
    assert sincos_pos_embed(36, 16)[p, c].item() == pytest.approx(
        torch.tensor(p / 10000 ** (2 * (c // 2) / e)).cos().item()
    )


def test_attention_weights_are_returned_on_request():
    block = TokenBlock(16, 4).eval()
    x = torch.randn(2, 9, 16)
    fast, none = block(x)
    slow, weights = block(x, need_weights=True)
    assert none is None
    torch.testing.assert_close(fast, slow)
    assert weights.shape == (2, 4, 9, 9)


def test_resize_matrix_equals_torch():
    x = torch.randn(2, 3, 7, 10)
    up = F.interpolate(x, (12, 23), mode='bicubic', align_corners=False)
    torch.testing.assert_close(resize_map(x, (12, 23)), up, rtol=1e-4, atol=1e-5)
    down = F.interpolate(x, (4, 3), mode='bicubic', align_corners=False, antialias=True)
    torch.testing.assert_close(resize_map(x, (4, 3)), down, rtol=1e-4, atol=1e-5)
    assert resize_map(x, (7, 10)) is x
    torch.testing.assert_close(resize_matrix(14, 50).sum(1), torch.ones(50))


@pytest.mark.parametrize('size', [(12, 12), (7, 16), (20, 9)])
@pytest.mark.parametrize('pos_encoding', ['none', 'sincos1d'])
def test_the_cheaper_order_of_conversion_and_collection_gives_the_same_tokens_and_gradients(size, pos_encoding):
    torch.manual_seed(0)
    grid = Grid(*size)
    s = SparseStage(6, 5, 32, 4, grid_size=12, pos_encoding=pos_encoding).double()
    x = torch.randn(2, size[0] * size[1], 6, dtype=torch.float64)
    assert s._collects_first(grid)
    fast = s.tokens(x, grid)
    fast.square().sum().backward()
    grads = [p.grad.clone() for p in s.parameters() if p.grad is not None]
    s.zero_grad()
    s.convert.register_forward_hook(lambda *_: None)  # who watches gets the published order
    assert not s._collects_first(grid)
    plain = s.tokens(x, grid)
    plain.square().sum().backward()
    torch.testing.assert_close(fast, plain)
    for grad, p in zip(grads, [p for p in s.parameters() if p.grad is not None], strict=True):
        torch.testing.assert_close(grad, p.grad, atol=1e-9, rtol=1e-6)


def test_many_tokens_keep_the_published_order():
    s = SparseStage(6, 40, 32, 4, grid_size=6)
    assert not s._collects_first(Grid(6, 6))
