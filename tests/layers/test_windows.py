import pytest
import torch
import torch.nn.functional as F

from mmsparseswin.layers.attention import WindowAttention, attend
from mmsparseswin.layers.fast_path import choose
from mmsparseswin.layers.grid import Grid, split_valid_area
from mmsparseswin.layers.windows import MASKED, window_plan

CPU = torch.device('cpu')


def windows_step_by_step(x, grid, window, shift):
    """Pad, roll, partition, and the mask from region numbers: the published steps, one by one."""
    height, width, step = grid.height, grid.width, window // 2
    x = F.pad(
        x.view(-1, height, width, x.shape[-1]).permute(0, 3, 1, 2), (0, -width % window, 0, -height % window)
    ).permute(0, 2, 3, 1)
    rows, cols = x.shape[1:3]
    steps = [step if shift and side > window else 0 for side in (rows, cols)]
    x = x.roll((-steps[0], -steps[1]), (1, 2))
    region = torch.zeros(rows, cols)
    for axis, (side, s) in enumerate(zip((rows, cols), steps, strict=True)):
        if s:
            for start, stop, value in ((side - window, side - s, 1), (side - s, side, 2)):
                region.narrow(axis, start, stop - start).add_(value * (3 if axis == 0 else 1))

    def cut(t):
        t = t.reshape(t.shape[0], rows // window, window, cols // window, window, -1)
        return t.transpose(2, 3).reshape(t.shape[0], -1, window * window, t.shape[-1])

    region = cut(region[None, ..., None])[0, ..., 0]
    return cut(x), (region[:, None] != region[:, :, None]) * MASKED


@pytest.mark.parametrize('shift', [False, True])
@pytest.mark.parametrize(('height', 'width', 'window'), [(14, 21, 7), (10, 15, 7), (5, 20, 7), (3, 4, 7), (9, 8, 4)])
def test_plan_equals_pad_roll_partition(height, width, window, shift):
    grid = Grid(height, width)
    x = torch.randn(2, height * width, 3)
    plan = window_plan(grid, (window, window), shift, CPU)
    expected, mask = windows_step_by_step(x, grid, window, shift)

    slots = F.pad(x, (0, 0, 0, 1))[:, plan.gather]
    got = slots.view(2, -1, window * window, 3)[:, plan.order]
    assert torch.equal(got, expected)
    assert torch.equal(slots[:, plan.inverse], x), 'the way back is not the inverse'
    assert plan.padded == bool(height % window or width % window)

    full = torch.zeros(len(plan.order), window**2, window**2)
    if plan.mask is not None:
        full[-len(plan.mask) :] = plan.mask
        assert (plan.mask != 0).any((1, 2)).all(), 'a window without a seam is masked'
    assert torch.equal(full[plan.order], mask)


def test_one_window_is_not_shifted():
    for side in (3, 7):
        assert window_plan(Grid(side, side), (7, 7), True, CPU).mask is None


def test_plans_are_cached_by_everything_they_depend_on():
    plans = [
        window_plan(Grid(14, 21), (7, 7), False, CPU),
        window_plan(Grid(21, 14), (7, 7), False, CPU),
        window_plan(Grid(14, 21), (7, 7), True, CPU),
        window_plan(Grid(14, 21, ((14, 21), (9, 8))), (7, 7), False, CPU),
    ]
    assert len({id(p) for p in plans}) == len(plans)
    assert window_plan(Grid(14, 21), (7, 7), False, CPU) is plans[0]


@pytest.mark.parametrize('grid', [Grid(16, 23), Grid(5, 9), Grid(16, 23, ((16, 20), (9, 23)))])
@pytest.mark.parametrize('shift', [False, True])
def test_explicit_softmax_equals_sdpa_and_rows_sum_to_one(grid, shift):
    torch.manual_seed(0)
    attention = WindowAttention(24, 3, (7, 7)).double()
    torch.nn.init.normal_(attention.relative_position_bias_table)
    x = torch.randn(2, grid.height * grid.width, 24, dtype=torch.float64)
    plan = window_plan(grid, (7, 7), shift, CPU)
    fast, none = attention(x, plan, fast=choose(x))
    slow, weights = attention(x, plan, need_weights=True)
    assert none is None
    if grid.valid is None:
        torch.testing.assert_close(fast, slow)
    else:
        mask = grid.mask(CPU).flatten(1)
        torch.testing.assert_close(fast[mask], slow[mask])
    assert weights.shape[1:] == (3, 49, 49)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))


def test_weights_come_in_row_major_windows():
    attention = WindowAttention(8, 2, (4, 4)).eval()
    x = torch.randn(1, 8 * 12, 8)
    _, weights = attention(x, window_plan(Grid(8, 12), (4, 4), True, CPU), need_weights=True)
    seam = (weights < 1e-30).any(-1).any(-1).any(-1)
    # 2 x 3 windows; all of the last row and the last column hold a seam.
    assert seam.tolist() == [False, False, True, True, True, True]


def test_attention_dropout_works_on_both_paths():
    q = torch.randn(2, 5, 4)
    torch.manual_seed(0)
    dropped, _ = attend(q, q, q, dropout=0.5, need_weights=True)
    kept, _ = attend(q, q, q, need_weights=True)
    assert not torch.allclose(dropped, kept)
    assert not torch.allclose(attend(q, q, q, dropout=0.5)[0], kept)


def test_valid_area_channel_is_taken_off():
    x = torch.randn(2, 4, 9, 11)
    x[:, 3] = 0
    x[0, 3, :5, :7] = 1
    x[1, 3, :9, :6] = 1
    image, grid = split_valid_area(x, 3)
    assert grid == Grid(9, 11, ((5, 7), (9, 6)))
    assert image.shape == (2, 3, 9, 11)
    assert not image[0, :, 5:].any()
    assert torch.equal(image[0, :, :5, :7], x[0, :3, :5, :7])
    assert grid.coarser(4) == Grid(3, 3, ((2, 2), (3, 2)))

    x[:, 3] = 1
    image, grid = split_valid_area(x, 3)
    assert grid == Grid(9, 11)
    assert torch.equal(image, x[:, :3])


def test_wrong_number_of_channels_is_refused():
    with pytest.raises(ValueError, match='got 5 input channels, expected in_channels=3'):
        split_valid_area(torch.zeros(1, 5, 8, 8), 3)


@pytest.mark.parametrize('bias_shape', [(1, 3, 9, 11), (2, 1, 9, 11), (9, 11)])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])
def test_gradients_of_a_learned_bias_equal_those_of_the_plain_formula(bias_shape, dtype):
    torch.manual_seed(0)
    shapes = [(2, 3, 9, 8), (2, 3, 11, 8), (2, 3, 11, 8), bias_shape]
    exact = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    given = [x.detach().to(dtype).requires_grad_() for x in exact]
    toward = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    q, k, v, bias = exact
    ((q @ k.transpose(-2, -1) * 8**-0.5 + bias).softmax(-1) @ v * toward).sum().backward()
    out, _ = attend(*given, fast=choose(given[0]))
    (out * toward).sum().backward()
    for x, want in zip(given, exact, strict=True):
        torch.testing.assert_close(x.grad.double(), want.grad, atol=1e-5, rtol=1e-5)


def test_attention_in_bfloat16_errs_about_as_little_as_the_fused_kernel():
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 4, 2, 49, 32, dtype=torch.float64)
    bias = torch.randn(1, 2, 49, 49, dtype=torch.float64)
    exact = attend(q, k, v, bias)[0]
    half = [x.bfloat16() for x in (q, k, v, bias)]
    with torch.no_grad():
        error = (attend(*half, fast=choose(half[0]))[0] - exact).abs().max()
    fused = F.scaled_dot_product_attention(*half[:3], attn_mask=half[3])
    assert error < 3 * (fused - exact).abs().max()


@pytest.mark.parametrize('keys', [9, 49])  # fewer and more than channels: weights are kept, or taken again
@pytest.mark.parametrize('masked', [False, True])
def test_gradients_in_bfloat16_err_about_as_little_as_the_fused_kernels(masked, keys):
    torch.manual_seed(0)
    exact = [torch.randn(2, 2, n, 32, dtype=torch.float64, requires_grad=True) for n in (17, keys, keys)]
    toward = torch.randn(2, 2, 17, 32, dtype=torch.float64)
    mask = torch.where(torch.rand(17, keys) < 0.3, -100.0, 0.0).double() if masked else None

    def gradients(attention, dtype):
        given = [x.detach().to(dtype).requires_grad_() for x in exact]
        (attention(*given, mask if mask is None else mask.to(dtype)) * toward).sum().backward()
        return torch.cat([x.grad.double().flatten() for x in given])

    want = gradients(F.scaled_dot_product_attention, torch.float64)
    error = (gradients(lambda *args: attend(*args, fast=choose(args[0]))[0], torch.bfloat16) - want).abs().max()
    assert error < 2 * (gradients(F.scaled_dot_product_attention, torch.bfloat16) - want).abs().max()


@pytest.mark.parametrize('shift', [False, True])
@pytest.mark.parametrize('grid', [Grid(6, 9), Grid(7, 5), Grid(7, 5, ((7, 4), (5, 5)))], ids=str)
def test_gradients_move_back_with_the_tokens(grid, shift):
    plan = window_plan(grid, (3, 3), shift, CPU)
    x = torch.randn(2, grid.height * grid.width, 2, dtype=torch.float64, requires_grad=True)

    def there_and_back(x):
        return plan.to_grid(plan.to_windows(x, choose(x)).sin(), choose(x))

    index, inverse = plan.gather, plan.inverse
    rows = x.reshape(1, -1, 2) if plan.flat else x
    expected = F.pad(rows, (0, 0, 0, 1)).index_select(1, index).sin().index_select(1, inverse)
    torch.testing.assert_close(there_and_back(x), expected, atol=0, rtol=0)
    assert torch.autograd.gradcheck(there_and_back, x)
    assert torch.autograd.gradgradcheck(there_and_back, x)
