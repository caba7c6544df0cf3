"""Test the protocol that every backbone keeps, over archs and options."""

import pytest
import torch
from torch import nn

from mmsparseswin import SparseSwin, STViTR, Swin, create_model
from mmsparseswin.errors import InputError
from mmsparseswin.layers import cross_attention, neighbourhoods, resize, windows
from mmsparseswin.layers.pre_norm import DropPath
from mmsparseswin.layers.swin_block import SwinBlock

SLIM = dict(embed_dims=16, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8))
SLIM_SPARSE = dict(
    embed_dims=16, depths=(2, 2, 2), num_heads=(1, 2, 4), num_tokens=9, token_dims=32, token_heads=4, token_depth=1
)
SLIM_SEMANTIC = dict(
    embed_dims=16,
    depths=(1, 1, 6, 1),
    num_heads=(1, 2, 4, 8),
    num_tokens=9,
    token_dims=32,
    token_heads=4,
    token_depth=1,
)
OPTIONS = dict(use_global=True, use_conv_pos=True, shortcut=True, pooling='learned', layer_scale=0.5)
BUILDERS = {
    'swin': lambda **kw: Swin(SLIM, img_size=64, **kw),
    'sparse': lambda **kw: SparseSwin(SLIM_SPARSE, img_size=64, **kw),
    'sparse-mlp': lambda **kw: SparseSwin(SLIM_SPARSE, img_size=64, token_to_map='mlp', **kw),
    'sparse-tile': lambda **kw: SparseSwin(SLIM_SPARSE, img_size=64, token_resize='tile', **kw),
    # Small windows, so that stage 3 has several.
    'semantic': lambda **kw: STViTR(SLIM_SEMANTIC, window_size=4, layer_scale=0.5, **kw),
    'semantic-det': lambda **kw: STViTR(
        SLIM_SEMANTIC, preset='det', window_size=3, tokens_per_window=2, relative_pos=True, **OPTIONS, **kw
    ),
    'semantic-sparse': lambda **kw: STViTR(
        SLIM_SEMANTIC, img_size=64, tokens_per_window=2, sparta=True, global_keys=8, **OPTIONS, **kw
    ),
    'semantic-sparse-mlp': lambda **kw: STViTR(
        SLIM_SEMANTIC, preset='det', img_size=64, window_size=4, sparta=True, token_to_map='mlp', layer_scale=0.5, **kw
    ),
}
every_backbone = pytest.mark.parametrize('build', BUILDERS.values(), ids=BUILDERS)


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


# docs/models/swin.md, 'Published variants' and 'SwinViT'; docs/models/sparse_swin.md, 'Sizes' with the head taken off.
@pytest.mark.parametrize(
    ('model', 'expected'),
    [
        (lambda: Swin('tiny', out_type='avg_featmap'), 27_519_354),
        (lambda: Swin('small', out_type='avg_featmap'), 48_837_258),
        (lambda: Swin('base', out_type='avg_featmap'), 86_743_224),
        (lambda: Swin('base', img_size=384, window_size=12, out_type='avg_featmap'), 86_878_584),
        (lambda: Swin('large', out_type='avg_featmap'), 194_995_476),
        (lambda: Swin('large', img_size=384, window_size=12, out_type='avg_featmap'), 195_198_516),
        (lambda: Swin('s3-tiny', out_type='avg_featmap'), 27_559_674),
        (lambda: Swin('s3-small', out_type='avg_featmap'), 48_968_298),
        (lambda: Swin('s3-base', out_type='avg_featmap'), 70_356_762),
        (lambda: Swin('cifar', out_type='avg_featmap'), 7_048_612 - 3_850),
        (lambda: SparseSwin('tiny', out_type='avg_featmap'), 20_287_971 - 51_300),
        (lambda: SparseSwin('small', out_type='avg_featmap'), 29_073_006 - 76_900),
        (lambda: SparseSwin('base', out_type='avg_featmap'), 41_004_163 - 102_500),
    ],
)
def test_published_parameter_counts(model, expected):
    with torch.device('meta'):
        assert parameters(model()) == expected


@pytest.mark.parametrize(('arch', 'swin'), [('swin-small', 'small'), ('swin-base', 'base')])
def test_tokens_on_larger_swins_share_their_first_three_stages(arch, swin):
    with torch.device('meta'):
        sparse, full = SparseSwin(arch).state_dict(), Swin(swin).state_dict()
    shared = [n for n in full if not n.startswith(('stages.3', 'norm3'))]
    assert len(shared) > 250
    assert all(sparse[n].shape == full[n].shape for n in shared)
    assert sparse['stages.3.downsample.reduction.weight'].shape == full['stages.3.downsample.reduction.weight'].shape


@every_backbone
@pytest.mark.parametrize('size', [(64, 64), (31, 47), (101, 150), (1, 1)])
def test_maps_have_their_strides_at_any_size(build, size):
    model = build().eval()
    outs = model(torch.randn(2, 3, *size))
    assert isinstance(outs, tuple)
    height, width = -(-size[0] // 4), -(-size[1] // 4)
    for out, channels, stride in zip(outs, model.out_channels, model.out_strides, strict=True):
        assert out.shape == (2, channels, height, width)
        assert out.isfinite().all()
        assert stride * height >= size[0]
        height, width = -(-height // 2), -(-width // 2)


def test_largest_and_smallest_image_pass_the_true_tiny_arch():
    model = SparseSwin('tiny').eval()
    with torch.no_grad():
        assert [tuple(o.shape[1:]) for o in model(torch.randn(1, 3, 1333, 800))] == [
            (96, 334, 200),
            (192, 167, 100),
            (384, 84, 50),
            (768, 42, 25),
        ]
        assert model(torch.randn(1, 3, 31, 47))[3].shape == (1, 768, 1, 2)


@every_backbone
def test_padding_does_not_change_the_valid_area(build):
    """One image, alone and padded by different amounts, with the valid-area channel."""
    torch.manual_seed(0)
    model = build().eval()
    image = torch.randn(3, 75, 101)
    with torch.no_grad():
        alone = model(image[None])
        for height, width in ((75, 101), (80, 128), (200, 104)):
            batch = torch.full((2, 4, height, width), 7.0)  # whatever the padding holds
            batch[:, 3] = 0
            batch[0, :3, :75, :101] = image
            batch[0, 3, :75, :101] = 1
            batch[1, :, :50, :64] = 1
            for padded, expected in zip(model(batch), alone, strict=True):
                h, w = expected.shape[-2:]
                torch.testing.assert_close(padded[:1, :, :h, :w], expected)
                assert not padded[0, :, h:].any()
                assert not padded[0, :, :, w:].any()


@every_backbone
@pytest.mark.parametrize('out_type', ['avg_featmap', 'raw'])
def test_padding_does_not_change_vectors(build, out_type):
    torch.manual_seed(0)
    model = build(out_type=out_type).eval()
    image = torch.randn(1, 3, 64, 51)
    batch = torch.zeros(1, 4, 80, 96)
    batch[:, :3, :64, :51], batch[:, 3, :64, :51] = image, 1
    with torch.no_grad():
        (alone,), (padded,) = model(image), model(batch)
    if out_type == 'raw' and not getattr(model, 'sparta', False):
        padded = padded.unflatten(1, (3, 3))[:, :2, :2].flatten(1, 2)
    torch.testing.assert_close(padded, alone)


@every_backbone
@pytest.mark.parametrize('out_indices', [(0, 1, 2, 3), (0,), (1, 3), (3,), (2,), (-1,)])
def test_every_parameter_gets_a_gradient(build, out_indices):
    model = build(out_indices=out_indices, drop_path_rate=0.0).train()
    outs = model(torch.randn(2, 3, 64, 75))
    assert len(outs) == len(out_indices) == len(model.out_channels)
    sum((o * torch.randn_like(o)).sum() for o in outs).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@every_backbone
@pytest.mark.parametrize('out_type', ['avg_featmap', 'raw'])
def test_every_parameter_gets_a_gradient_from_vectors(build, out_type):
    model = build(out_type=out_type, drop_path_rate=0.0).train()
    (out,) = model(torch.randn(2, 3, 64, 64))
    (out * torch.randn_like(out)).sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@every_backbone
def test_gradient_checkpointing_changes_no_gradient(build):
    torch.manual_seed(0)
    model = build(drop_path_rate=0.3).train()
    x = torch.randn(2, 3, 50, 64)
    gradients = []
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        model.zero_grad()
        torch.manual_seed(1)
        sum(o.pow(2).mean() for o in model(x)).backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


@every_backbone
def test_train_returns_self_and_keeps_frozen_stages_still(build):
    model = build(frozen_stages=2, drop_rate=0.1)
    assert model.train() is model
    assert model.eval() is model
    model.train()
    assert not model.patch_embed.training
    assert not model.stages[1].training
    assert model.stages[2].training
    sum(o.sum() for o in model(torch.randn(1, 3, 64, 64))).backward()
    frozen = {n for n, p in model.named_parameters() if p.grad is None}
    expected = ('patch_embed', 'stages.0', 'stages.1', 'norm0', 'norm1')
    assert frozen == {n for n, _ in model.named_parameters() if n.startswith(expected)}


def test_stages_after_the_last_output_are_not_built():
    model = Swin(SLIM, out_indices=(0, 1))
    assert len(model.stages) == 2
    assert not hasattr(model, 'norm2')
    assert [n for n, _ in model.named_children() if n.startswith('norm')] == ['norm0', 'norm1']


def test_drop_path_grows_linearly_over_the_blocks():
    model = Swin('tiny', drop_path_rate=0.2)
    rates = [m.drop_path.rate for m in model.modules() if isinstance(m, SwinBlock)]
    assert rates == pytest.approx(torch.linspace(0, 0.2, 12).tolist())
    # docs/models/sparse_swin.md, 'Classifier': the schedule of Swin-T's 12 blocks is kept for the 10 that are left.
    sparse = SparseSwin('tiny')
    assert [m.drop_path.rate for m in sparse.modules() if isinstance(m, SwinBlock)] == pytest.approx(rates[:10])


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    drop = DropPath(0.25).train()
    out = drop(torch.ones(4000, 2, 3))
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (out == out[:, :1, :1]).all()
    assert out.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(drop.eval()(torch.ones(5, 2)), torch.ones(5, 2))


def test_position_embedding_is_resized_and_ignores_padding():
    torch.manual_seed(0)
    model = Swin(SLIM, img_size=64, use_abs_pos_embed=True, out_indices=(0,)).eval()
    nn.init.normal_(model.absolute_pos_embed)
    image = torch.randn(1, 3, 40, 52)
    batch = torch.zeros(1, 4, 64, 64)
    batch[..., :40, :52] = 1
    batch[:, :3, :40, :52] = image
    with torch.no_grad():
        torch.testing.assert_close(model(batch)[0][..., :10, :13], model(image)[0])


def test_windows_larger_than_the_grid_are_clipped_at_build_time():
    model = Swin(SLIM, img_size=64, window_size=7)  # grids 16, 8, 4, 2
    assert [s.blocks[0].attn.window[0] for s in model.stages] == [7, 7, 4, 2]


@every_backbone
def test_no_decay_for_vectors_and_position_tables(build):
    model = build()
    names = model.no_weight_decay()
    assert 'stages.0.blocks.0.attn.relative_position_bias_table' in names
    assert 'norm0.weight' in names
    assert 'stages.0.blocks.0.mlp.fc1.weight' not in names
    assert all(name in dict(model.named_parameters()) for name in names)


@every_backbone
def test_layer_depth_grows_from_stem_to_head(build):
    model = build()
    count = sum(model.depths) + 2
    assert model.get_layer_depth('backbone.patch_embed.proj.weight', 'backbone.') == (0, count)
    assert model.get_layer_depth('head.fc.weight', 'backbone.') == (count - 1, count)
    first = model.depths[0]
    assert model.get_layer_depth('stages.1.blocks.0.norm1.weight') == (first + 1, count)
    assert model.get_layer_depth('stages.1.downsample.norm.weight') == (first, count)
    depths = [model.get_layer_depth(n)[0] for n, _ in model.named_parameters()]
    assert 0 <= min(depths) < max(depths) < count


@pytest.mark.parametrize(
    ('call', 'words'),
    [
        (lambda: Swin('tinny'), ["'tinny'", 'tiny', 's3-base', 'embed_dims']),
        (lambda: SparseSwin('large'), ["'large'", "'tiny', 'small', 'base'"]),
        (lambda: Swin('tiny', out_type='map'), ["'map'", 'featmap', 'avg_featmap', 'raw']),
        (lambda: SparseSwin('tiny', token_resize='bicubic'), ['token_resize', "'weight', 'feature', 'tile'"]),
        (lambda: SparseSwin('tiny', token_to_map='conv'), ['token_to_map', 'cross_attention']),
        (lambda: Swin('tiny', windowsize=7), ['windowsize', 'window_size']),
        (lambda: SparseSwin('tiny', windowsize=7), ['windowsize', 'window_size', 'token_resize']),
        (lambda: Swin('tiny', out_indices=(0, 4)), ['(0, 4)', '[0, 1, 2, 3]']),
        (lambda: Swin('tiny', out_indices=()), ['()']),
        (lambda: Swin(dict(embed_dims=96, depth=(2, 2))), ['depths', 'num_heads', "unknown ['depth']"]),
        (lambda: Swin(dict(embed_dims=10, depths=(1,), num_heads=(3,))), ['10 channels', 'num_heads=3']),
        (lambda: SparseSwin(dict(SLIM, num_tokens=9, token_dims=32)), ['three Swin stages']),
        (lambda: SparseSwin('tiny', img_size=(224, 448)), ['must be square']),
    ],
)
def test_errors_list_what_exists(call, words):
    with pytest.raises(InputError) as error:
        call()
    assert all(word in str(error.value) for word in words), error.value


def test_images_of_different_sizes_cannot_be_stacked_as_tile_tokens():
    model = SparseSwin(SLIM_SPARSE, img_size=64, token_resize='tile', out_type='raw')
    batch = torch.ones(2, 4, 160, 160)
    batch[0, 3, 60:] = 0
    with pytest.raises(ValueError, match="use token_resize='weight'"):
        model(batch)


@every_backbone
def test_bfloat16_stays_near_float32(build):
    torch.manual_seed(0)
    model = build().eval()
    x = torch.randn(1, 3, 60, 75)
    with torch.no_grad():
        expected = model(x)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            autocast = model(x)
        whole = model.bfloat16()(x.bfloat16())
    for full, mixed, half in zip(expected, autocast, whole, strict=True):
        assert half.dtype == torch.bfloat16
        assert (mixed.float() - full).abs().max() < 0.1 * full.abs().max()
        assert (half.float() - full).abs().max() < 0.1 * full.abs().max()


@pytest.mark.parametrize('name', ['swin-tiny', 'stvitr-det-tiny'])
def test_light_recomputation_keeps_less_and_gives_the_same_gradients(name):
    torch.manual_seed(0)
    model, x = create_model(name, drop_path_rate=0.1).train(), torch.randn(2, 3, 45, 70)

    def step(mode):
        model.set_grad_checkpointing(mode)
        kept = {}

        def pack(tensor):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        torch.manual_seed(1)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            outs = model(x)
        sum(out.square().mean() for out in outs).backward()
        grads = [p.grad for p in model.parameters()]
        model.zero_grad()
        weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        return grads, sum(size for place, size in kept.items() if place not in weights)

    grads, size = step(False)
    for mode, share in (('light', 0.8), (True, 0.4)):
        again, less = step(mode)
        assert less < share * size, mode
        for one, other in zip(grads, again, strict=True):
            assert torch.equal(one, other), mode


def test_unknown_checkpointing_is_refused():
    with pytest.raises(InputError, match="'light'"):
        Swin(with_cp='some')


def test_tables_made_in_inference_mode_serve_a_training_step():
    for cache in (windows.window_plan, neighbourhoods.unit_plan, cross_attention._bias_index, resize.resize_matrix):
        cache.cache_clear()
    model, x = STViTR('tiny', relative_pos=True, sparta=True).train(), torch.randn(1, 3, 70, 45)
    with torch.inference_mode():
        model(x)
    sum(out.mean() for out in model(x)).backward()


@pytest.mark.parametrize('name', ['swin-tiny', 'sparseswin-tiny', 'stvitr-det-tiny'])
def test_a_compiled_backbone_takes_one_size_after_another(name):
    torch._dynamo.reset()
    model = create_model(name).eval()
    compiled = torch.compile(model, backend='eager', fullgraph=True)
    graphs = torch._dynamo.utils.counters['stats']
    before = graphs['unique_graphs']
    with torch.no_grad():
        for size in [(33, 70), (40, 52), (64, 33), (33, 70), (40, 52)]:
            x = torch.randn(1, 3, *size)
            for one, other in zip(compiled(x), model(x), strict=True):
                torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    assert graphs['unique_graphs'] - before == 3, 'a size that was seen is compiled again'
