import pytest
import torch
from torch import nn

from mmsparseswin.layers import chunked, fast_path, swin_block
from mmsparseswin.layers.chunked import chunked_inference
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.processor import processor
from mmsparseswin.layers.swin_block import SwinBlock

GRIDS = [Grid(14, 21), Grid(16, 23), Grid(5, 9), Grid(16, 23, ((16, 20), (9, 23)))]


def make(shift, window=(7, 7), shift_single=False):
    torch.manual_seed(0)
    block = SwinBlock(32, 2, window, shift, shift_single=shift_single).eval()
    for p in block.parameters():
        nn.init.normal_(p, std=0.2)
    return block


@pytest.fixture
def taken(monkeypatch):
    """Chunks of every block that ran in chunks."""
    counts, run = [], swin_block.forward_in_chunks

    def spy(block, x, grid, shift, shift_single, tokens, fast):
        counts.append(tokens)
        return run(block, x, grid, shift, shift_single, tokens, fast)

    monkeypatch.setattr(swin_block, 'forward_in_chunks', spy)
    return counts


@pytest.mark.parametrize('grid', GRIDS, ids=str)
@pytest.mark.parametrize('shift', [False, True])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('onednn', [False, True])
def test_the_size_of_a_chunk_does_not_change_the_result(taken, monkeypatch, grid, shift, dtype, onednn):
    chosen = processor()._replace(onednn_linear=onednn and processor().report.onednn)
    monkeypatch.setattr(fast_path, 'processor', lambda: chosen)
    block, x = make(shift).to(dtype), torch.randn(2, grid.height * grid.width, 32, dtype=dtype)
    mask = (
        torch.ones(2, grid.height * grid.width, 1) if grid.valid is None else grid.mask(x.device).flatten(1)[..., None]
    )
    outs = []
    with torch.no_grad():
        for tokens in (49, 150, 10**6, None, 0):
            with chunked_inference(tokens):
                outs.append(block(x, grid) * mask)
    assert taken[:3] == [49, 150, 10**6]
    assert len(taken) == 4
    # Some libraries round products of another number of rows otherwise, and bfloat16 keeps 8 bits. The whole block's
    # bfloat16 products and the tokens they are added to are rounded twice, in chunks once.
    near, whole = (1e-6, 1e-6) if dtype == torch.float32 else (2**-8, 2**-6)
    largest = outs[0].abs().max().item()
    for other, bound in zip(outs[1:], (near, near, near, whole), strict=True):
        assert (other - outs[0]).abs().max().item() <= bound * largest


@pytest.mark.parametrize(
    ('window', 'grid'),
    [
        ((7, 7), Grid(15, 22)),
        ((4, 6), Grid(15, 22)),
        ((14, 14), Grid(15, 22)),
        ((7, 7), Grid(7, 7)),
        ((7, 7), Grid(3, 5)),
    ],
)
def test_windows_of_every_shape_equal_the_pass_with_gradients(taken, window, grid):
    block = make(True, window, shift_single=True)
    x = torch.randn(3, grid.height * grid.width, 32)
    with chunked_inference(300), torch.no_grad():
        out = block(x, grid)
    assert taken
    torch.testing.assert_close(out, block(x, grid).detach(), atol=2e-6, rtol=1e-5)


def test_the_input_is_left_alone():
    block, x = make(True), torch.randn(1, 14 * 21, 32)
    kept = x.clone()
    with torch.no_grad():
        block(x, Grid(14, 21))
    assert torch.equal(x, kept)


def test_whole_blocks_run_where_more_than_the_result_is_wanted(taken):
    block, x, grid = make(True), torch.randn(1, 14 * 21, 32), Grid(14, 21)
    block(x, grid)
    with torch.no_grad():
        block.train()(x, grid)
        block.eval()
        with chunked_inference(0):
            block(x, grid)
        seen = []
        handle = block.attn.register_forward_hook(lambda *_: seen.append(1))
        block(x, grid)
        handle.remove()
        assert seen
        assert not taken
        block(x, grid)
        assert taken


def test_a_hook_on_the_block_itself_keeps_the_pieces(taken):
    block, seen = make(False), []
    block.register_forward_hook(lambda *_: seen.append(1))
    with torch.no_grad():
        block(torch.randn(1, 49, 32), Grid(7, 7))
    assert seen
    assert taken


def test_pieces_are_cached_by_all_they_depend_on():
    keys = [
        (Grid(14, 21), (7, 7), False, False, 1, 98),
        (Grid(14, 21), (7, 7), True, False, 1, 98),
        (Grid(14, 21), (7, 7), True, True, 1, 98),
        (Grid(14, 21), (7, 7), True, False, 2, 98),
        (Grid(14, 21), (7, 7), True, False, 1, 49),
        (Grid(21, 14), (7, 7), True, False, 1, 98),
    ]
    plans = [chunked._chunks(*key) for key in keys]
    assert len({id(plan) for plan in plans}) == len(keys)
    assert chunked._chunks(*keys[0]) is plans[0]


def test_autocast_runs_in_pieces_and_stays_close(taken):
    block, x, grid = make(True), torch.randn(2, 16 * 23, 32), Grid(16, 23)
    with torch.no_grad():
        exact = block(x, grid)
        with torch.autocast('cpu', torch.bfloat16):
            out = block(x, grid)
    assert len(taken) == 2
    torch.testing.assert_close(out.float(), exact, atol=0.2, rtol=0.05)


def test_pieces_lie_on_the_cpu_whatever_device_is_the_default():
    chunked._chunks.cache_clear()
    with torch.device('meta'):
        plan = chunked._chunks(Grid(14, 21), (7, 7), True, False, 2, 98)
    assert {plan.inverse.device.type, *(chunk.tokens.device.type for chunk in plan.chunks)} == {'cpu'}
