"""Test the window gate against a plain restatement: run everything, then put back the tokens that are left out."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmsparseswin import SparseSwin, STViTR, Swin
from mmsparseswin.analysis import attention_from, return_attention, rollout
from mmsparseswin.analysis.flops import count_flops
from mmsparseswin.errors import InputError
from mmsparseswin.layers.chunked import chunked_inference
from mmsparseswin.layers.fast_path import fast_path
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.swin_block import SwinBlock, SwinStage

SLIM = dict(embed_dims=16, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8))
SPARSE = dict(SLIM, depths=(2, 2, 2), num_heads=(1, 2, 4), num_tokens=9, token_dims=32, token_heads=4, token_depth=1)
SEMANTIC = dict(SLIM, depths=(2, 2, 6, 2), num_tokens=9, token_dims=32, token_heads=4, token_depth=1)
ONE_STAGE = dict(embed_dims=16, depths=(2,), num_heads=(2,))
BUILDERS = {
    'swin': lambda **kw: Swin(SLIM, img_size=96, window_size=3, **kw),
    'sparse': lambda **kw: SparseSwin(SPARSE, img_size=96, window_size=3, **kw),
    'semantic': lambda **kw: STViTR(SEMANTIC, window_size=3, layer_scale=0.5, **kw),
}
every_backbone = pytest.mark.parametrize('build', BUILDERS.values(), ids=BUILDERS)


def make_stage(window=3, depth=3, **options):
    torch.manual_seed(0)
    stage = SwinStage([SwinBlock(16, 2, (window, window), j % 2 == 1, **options) for j in range(depth)]).eval()
    for p in stage.parameters():
        nn.init.normal_(p, std=0.3)
    return stage


def kept_tokens(x, height, width, window, shift, share, threshold=0.0):
    """Return (B, height * width), True for tokens of kept windows, by padding, rolling and cutting the map itself."""
    maps = F.pad(x.abs().view(len(x), height, width, -1), (0, 0, 0, -width % window, 0, -height % window))
    steps = [-(window // 2) if shift and side > window else 0 for side in maps.shape[1:3]]
    cells = maps.roll(steps, (1, 2)).unfold(1, window, window).unfold(2, window, window)  # (B, rows, cols, C, w, w)
    scores = cells.mean((-2, -1)).norm(dim=-1)
    mask = torch.zeros(scores.shape, dtype=torch.bool)
    for image, score in zip(mask, scores, strict=True):
        count = math.ceil(share * score.numel() - 1e-6)
        for rank, place in enumerate(score.flatten().argsort(descending=True)[:count].tolist()):
            if rank == 0 or score.flatten()[place] >= threshold:
                image.view(-1)[place] = True
    mask = mask.repeat_interleave(window, 1).repeat_interleave(window, 2)
    return mask.roll([-step for step in steps], (1, 2))[:, :height, :width].flatten(1)


def masked_and_scattered(stage, x, height, width, share, threshold=0.0):
    """Run every window, and put back the tokens of those that are left out."""
    first = x
    for block in stage.blocks:
        window = block.attn.window[0]
        kept = kept_tokens(first, height, width, window, block.shift, share, threshold)
        x = torch.where(kept[..., None], block(x, Grid(height, width)), x)
    return x


SIZES = [(12, 15), (10, 14), (3, 13), (4, 2), (9, 9)]


@pytest.mark.parametrize('way', ['gradients', 'chunks', 'whole', 'plain', 'traced'])
@pytest.mark.parametrize('share', [0.1, 0.7])
@pytest.mark.parametrize(('height', 'width'), SIZES)
def test_a_stage_equals_the_reference(height, width, share, way):
    stage, x = make_stage(), torch.randn(2, height * width, 16)
    stage.keep = share
    with torch.no_grad():
        expected = masked_and_scattered(stage, x, height, width, share)
    if way == 'gradients':
        out = stage.run_blocks(x.requires_grad_(), Grid(height, width))
    elif way == 'plain':
        with torch.no_grad(), fast_path(False):
            out = stage.run_blocks(x, Grid(height, width))
    elif way == 'traced':  # the layout of GPUs, whose shapes do not depend on values
        other = torch.randn_like(x)
        stage.requires_grad_(False)
        with torch.no_grad():
            out = torch.jit.trace(lambda x: stage.run_blocks(x, Grid(height, width)), other, check_trace=False)(x)
    else:
        with torch.no_grad(), chunked_inference(40 if way == 'chunks' else 0):
            out = stage.run_blocks(x, Grid(height, width))
    torch.testing.assert_close(out, expected, atol=2e-5, rtol=1e-5)
    kept = kept_tokens(x, height, width, 3, False, share) | kept_tokens(x, height, width, 3, True, share)
    assert torch.equal(out[~kept], x[~kept]), 'a token that is left out has changed'


def test_windows_of_any_shape_and_a_shift_of_a_single_window():
    torch.manual_seed(0)
    blocks = [SwinBlock(16, 2, (4, 4), shift=True, shift_single=True), SwinBlock(16, 2, (4, 4))]
    stage, x = SwinStage(blocks).eval(), torch.randn(2, 7 * 9, 16)
    stage.keep = 0.5
    with torch.no_grad():
        expected = masked_and_scattered(stage, x, 7, 9, 0.5)
        torch.testing.assert_close(stage.run_blocks(x, Grid(7, 9)), expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize('threshold', [2.0, 3.0, 100.0])
def test_a_threshold_keeps_windows_by_their_score_and_always_the_best(threshold):
    stage, x = make_stage(), torch.randn(2, 10 * 14, 16)
    x[0, :70] *= 0.2
    stage.threshold = threshold
    with torch.no_grad():
        for share in (1.0, 0.5):
            stage.keep = share
            expected = masked_and_scattered(stage, x, 10, 14, share, threshold)
            torch.testing.assert_close(stage.run_blocks(x, Grid(10, 14)), expected, atol=2e-5, rtol=1e-5)
    kept = kept_tokens(x, 10, 14, 3, False, 1.0, threshold).sum(1)
    assert kept.min() == 9 if threshold == 100 else 9 < kept[0] < kept[1], 'the test must tell the thresholds apart'


@pytest.mark.parametrize('training', [False, True])
def test_gradients_equal_those_of_the_reference(training):
    stage = make_stage(window=3, depth=2).double().train(training)
    x = torch.randn(2, 10 * 14, 16, dtype=torch.float64, requires_grad=True)
    stage.keep = 0.6
    toward = torch.randn(2, 10 * 14, 16, dtype=torch.float64)
    found = torch.autograd.grad((stage.run_blocks(x, Grid(10, 14)) * toward).sum(), [x, *stage.parameters()])
    masked = (masked_and_scattered(stage, x, 10, 14, 0.6) * toward).sum()
    for one, other in zip(found, torch.autograd.grad(masked, [x, *stage.parameters()]), strict=True):
        torch.testing.assert_close(one, other)


def test_checkpointing_changes_no_gradient_and_stochastic_depth_drops_whole_images():
    stage = make_stage(depth=2, drop_path=0.5).train()
    x = torch.randn(8, 10 * 14, 16)
    stage.keep = 0.5
    grads = []
    for with_cp, light in ((False, False), (True, False), (False, True)):
        stage.with_cp = with_cp
        for block in stage.blocks:
            block.light = light
        torch.manual_seed(3)
        out = stage.run_blocks(x.requires_grad_(), Grid(10, 14))
        grads.append(torch.autograd.grad(out.square().sum(), [x, *stage.parameters()]))
    for others in grads[1:]:
        for one, other in zip(grads[0], others, strict=True):
            torch.testing.assert_close(one, other)
    stage.blocks = stage.blocks[:1]
    seen = set()
    for seed in range(6):
        torch.manual_seed(seed)
        changed = (stage.run_blocks(x, Grid(10, 14)) != x).flatten(1).float().mean(1)
        seen |= set((changed > 0).tolist())
        assert all(share == 0 or share > 0.3 for share in changed.tolist())
    assert seen == {False, True}


@every_backbone
def test_all_windows_are_bit_equal_to_no_gate_and_shares_change_without_a_rebuild(build):
    torch.manual_seed(0)
    model, x = build().eval(), torch.randn(2, 3, 90, 118)
    names = {name: tensor.shape for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        plain = model(x)
        model.set_keep_windows(1)
        assert all(torch.equal(a, b) for a, b in zip(model(x), plain, strict=True))
        model.set_keep_windows(0.5)
        half = model(x)
        assert [out.shape for out in half] == [out.shape for out in plain], 'an output lacks tokens'
        assert not any(torch.equal(a, b) for a, b in zip(half, plain, strict=True))
        torch.manual_seed(0)
        built = build(keep_windows=0.5).eval()
        assert all(torch.equal(a, b) for a, b in zip(built(x), half, strict=True))
        model.set_keep_windows(None)
        assert all(torch.equal(a, b) for a, b in zip(model(x), plain, strict=True))
    assert {name: tensor.shape for name, tensor in built.state_dict().items()} == names


@every_backbone
@pytest.mark.parametrize('threshold', [None, 0.4])
def test_a_batch_gives_each_image_what_it_gets_alone(build, threshold):
    torch.manual_seed(0)
    model = build(keep_windows=0.4, keep_threshold=threshold).eval()
    sizes = [(75, 101), (96, 60), (33, 96)]
    images = [torch.randn(3, *size) for size in sizes]
    batch = torch.full((3, 4, 100, 110), 50.0)  # padding that would rank first, were it an image
    batch[:, 3] = 0
    for place, image in zip(batch, images, strict=True):
        place[:3, : image.shape[1], : image.shape[2]] = image
        place[3, : image.shape[1], : image.shape[2]] = 1
    same = torch.stack([image[:, :33, :60] for image in images])
    with torch.no_grad():
        padded, stacked = model(batch), model(same)
        for i, image in enumerate(images):
            for together, alone in zip(padded, model(image[None]), strict=True):
                height, width = alone.shape[-2:]
                torch.testing.assert_close(together[i : i + 1, :, :height, :width], alone, atol=1e-4, rtol=1e-4)
                assert not together[i, :, height:].any()
            for together, alone in zip(stacked, model(same[i : i + 1]), strict=True):
                torch.testing.assert_close(together[i : i + 1], alone, atol=1e-4, rtol=1e-4)


def test_every_parameter_gets_a_gradient():
    model = Swin(SLIM, img_size=96, window_size=3, keep_windows=0.3, drop_path_rate=0.0).train()
    sum((out * torch.randn_like(out)).sum() for out in model(torch.randn(2, 3, 64, 75))).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_compiled_model_takes_new_shares():
    torch._dynamo.reset()
    torch.manual_seed(0)
    model, x = Swin(ONE_STAGE, window_size=3).eval(), torch.randn(2, 3, 38, 50)
    compiled = torch.compile(model, backend='eager', fullgraph=True)
    with torch.no_grad():
        for share in (0.5, 1, 0.3):
            model.set_keep_windows(share)
            for one, other in zip(compiled(x), model(x), strict=True):
                torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_an_exported_model_chooses_windows_of_its_own_image():
    torch.manual_seed(0)
    model, x = Swin(ONE_STAGE, window_size=3, keep_windows=0.5).eval(), torch.randn(1, 3, 38, 50)
    exported = torch.export.export(model, (torch.randn_like(x),)).module()
    with torch.no_grad():
        for one, other in zip(exported(x), model(x), strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_a_threshold_is_refused_where_the_number_of_windows_must_be_known():
    model, x = Swin(ONE_STAGE, window_size=3, keep_threshold=0.1).eval(), torch.randn(1, 3, 60, 60)
    with pytest.raises(Exception, match='the number of windows depends on the image'):
        torch.export.export(model, (x,))
    with pytest.raises(InputError, match='the number of windows depends on the image'), torch.no_grad():
        torch.jit.trace(model, x)
    with pytest.raises(InputError, match='the number of windows depends on the image'):
        count_flops(model.to('meta'), x.to('meta'))


@pytest.mark.parametrize('device', ['cpu', 'meta'])
def test_the_counter_counts_the_windows_that_are_left(device):
    model = Swin(dict(SLIM, depths=(2, 2, 2)), img_size=96, window_size=6).eval().to(device)
    x = torch.randn(1, 3, 96, 96, device=device)  # 4 x 4, 2 x 2 windows and one; no padding

    def blocks(keep):
        model.set_keep_windows(keep)
        costs = count_flops(model, x).modules
        return [costs[f'stages.{i}.blocks.{j}'].macs for i in range(3) for j in range(2)]

    full, part = blocks(None), blocks((0.25, 0.5, 0.5))
    assert [one / all_ for one, all_ in zip(part, full, strict=True)] == pytest.approx([0.25] * 2 + [0.5] * 2 + [1] * 2)


def test_recorded_attention_marks_the_windows_that_are_left_out():
    torch.manual_seed(0)
    model, x = Swin(SLIM, img_size=96, window_size=3, keep_windows=0.5).eval(), torch.randn(2, 3, 90, 100)
    grid = torch.zeros(2, 4, 96, 104)
    grid[:, :3, :90, :100], grid[:, 3, :90, :100] = x, 1
    with torch.no_grad():
        outs, records = return_attention(model, x)
        assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(outs, model(x), strict=True))
        for record in records:
            windows = record.weights.unflatten(0, (2, -1))
            assert record.kept.shape == windows.shape[:2]
            assert torch.equal(record.kept, windows.sum((2, 3, 4)) > 0)
            assert (record.kept.sum(1) == math.ceil(record.kept.shape[1] / 2)).all()
            torch.testing.assert_close(
                windows[record.kept].sum(-1), torch.ones(()).expand(windows[record.kept].shape[:-1])
            )
        # The record of a shifted block names the tokens that the block has changed.
        block, record = model.stages[0].blocks[1], records[1]
        seen = {}
        block.register_forward_hook(lambda m, args, out: seen.update(change=(out != args[0]).any(-1)))
        return_attention(model, x)
        for y, z in ((0, 0), (4, 11), (22, 24), (13, 2)):
            attended = attention_from(record, y, z).sum((1, 2, 3)) > 0.5
            assert torch.equal(attended, seen['change'][:, y * record.grid.width + z])
        _, padded = return_attention(model, grid[:1])
        assert torch.equal(padded[1].kept, record.kept[:1])
    torch.testing.assert_close(rollout(records, 0).sum(-1), torch.ones(2, 23 * 25))


@pytest.mark.parametrize(
    ('build', 'keep', 'threshold', 'words'),
    [
        ('swin', 0, None, '0 is not a number above 0 and up to 1'),
        ('swin', 1.5, None, '1.5 is not'),
        ('swin', True, None, 'True is not'),
        ('swin', 'half', None, 'one for each of the 4 stages'),
        ('swin', (1, 0.5), None, 'one for each of the 4 stages'),
        ('swin', (1, 1, 1, float('nan')), None, 'nan is not'),
        ('swin', None, -1, '-1 is not a number of at least 0'),
        ('sparse', (1, 1, 1, 0.5), None, 'stage 3 has no Swin windows'),
        ('semantic', (1, 1, 0.5, 1), None, 'stage 2 has no Swin windows'),
        ('semantic', None, (0, 0, 1, 0), 'stage 2 has no Swin windows.*give it 0'),
    ],
)
def test_other_values_are_refused(build, keep, threshold, words):
    with pytest.raises(InputError, match=words):
        BUILDERS[build](keep_windows=keep, keep_threshold=threshold)


def test_one_number_is_for_the_stages_of_swin_windows():
    assert BUILDERS['swin'](keep_windows=[0.5, 1, 1, 0.25]).keep_windows == (0.5, 1, 1, 0.25)
    assert BUILDERS['sparse'](keep_windows=0.5).keep_windows == (0.5, 0.5, 0.5, 1)
    assert BUILDERS['semantic'](keep_windows=0.5).keep_windows == (0.5, 0.5, 1, 0.5)
    assert BUILDERS['swin'](out_indices=(0, 1), keep_windows=(0.5, 1, 0.5, 1)).stages[0].keep == 0.5
