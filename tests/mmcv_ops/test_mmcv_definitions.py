"""Compare operators that mmcv compiles for GPUs only with plain loops and with mmcv's test values."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import (
    CARAFE,
    MaskedConv2d,
    RoIPool,
    SoftmaxFocalLoss,
    sigmoid_focal_loss,
    softmax_focal_loss,
)
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from torch.autograd import gradcheck

from mmsparseswin.mmcv_ops import carafe, focal_loss

pytestmark = pytest.mark.usefixtures('our_operators')

# Logits, targets, then loss and gradient (mean over rows; gamma 2, alpha 0.25) of mmcv's operators on a GPU, as
# mmcv's tests/test_ops/test_focal_loss.py states them.
SOFTMAX = [
    ([[1.0, 0], [0, 1]], [0, 1], 0.00566451, [[-0.00657264, 0.00657264], [0.00657264, -0.00657264]]),
    (
        [[1.0, 0, -1], [0, 1, 2]],
        [2, 1],
        0.34956908,
        [[0.10165970, 0.03739851, -0.13905823], [0.01227554, -0.10298023, 0.09070466]],
    ),
]
SIGMOID = [
    ([[1.0, 0], [0, 1]], [0, 1], 0.13562961, [[-0.00657264, 0.11185755], [0.11185755, -0.00657264]]),
    (
        [[1.0, 0, -1], [0, 1, 2]],
        [2, 1],
        1.10251057,
        [[0.28808805, 0.11185755, -0.09602935], [0.11185755, -0.00657264, 0.40376765]],
    ),
]
SIGMOID_CASES = [(sigmoid_focal_loss, *case) for case in SIGMOID]


@pytest.mark.parametrize(
    ('function', 'logits', 'target', 'loss', 'gradient'),
    SIGMOID_CASES + [(softmax_focal_loss, *case) for case in SOFTMAX],
)
def test_focal_losses_have_the_values_of_mmcvs_tests(function, logits, target, loss, gradient):
    x = torch.tensor(logits, requires_grad=True)
    result = function(x, torch.tensor(target), 2.0, 0.25, None, 'mean')
    result.backward()
    assert result.item() == pytest.approx(loss, rel=1e-3)
    torch.testing.assert_close(x.grad, torch.tensor(gradient), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize('gamma', [0.0, 1.5, 2.0])
def test_sigmoid_focal_loss_is_mmdets_python_form(gamma):
    torch.manual_seed(0)
    x = (4 * torch.randn(9, 5, dtype=torch.float64)).requires_grad_()
    target = torch.tensor([0, 1, 2, 3, 4, 5, 5, 0, 2])  # 5 is background
    one_hot = F.one_hot(target, 6)[:, :5].double()
    expected = py_sigmoid_focal_loss(x, one_hot, gamma=gamma, alpha=0.3, reduction='sum')
    (gradient,) = torch.autograd.grad(expected, x)
    ours = sigmoid_focal_loss(x, target, gamma, 0.3, None, 'sum')
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(torch.autograd.grad(ours, x)[0], gradient)


def test_sigmoid_focal_loss_of_saturated_logits_is_finite():
    x = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    loss = sigmoid_focal_loss(x, torch.tensor([0, 0]), 2.0, 0.25, None, 'sum')
    loss.backward()
    # log of the smallest normal float32: -87.3365
    assert loss.item() == pytest.approx(87.3365 * (0.25 + 0.75), rel=1e-5)
    assert x.grad.isfinite().all()


def test_class_weights_scale_rows_of_their_class():
    torch.manual_seed(0)
    x, target = torch.randn(4, 3), torch.tensor([0, 2, 3, 1])
    weight = torch.tensor([2.0, 3.0, 5.0])
    plain, weighted = torch.zeros(4, 3), torch.zeros(4, 3)
    focal_loss.sigmoid_focal_loss_forward(x, target, torch.zeros(0), plain, gamma=2.0, alpha=0.25)
    focal_loss.sigmoid_focal_loss_forward(x, target, weight, weighted, gamma=2.0, alpha=0.25)
    torch.testing.assert_close(weighted, plain * torch.tensor([2.0, 5.0, 1.0, 3.0])[:, None])


def test_softmax_focal_loss_has_the_gradient_of_its_definition():
    torch.manual_seed(0)
    x = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 3, -1, 2, 1, 1])  # -1 is ignored
    p = x.softmax(1)[torch.arange(6), target.clamp(min=0)]
    expected = (-0.25 * (1 - p) ** 2 * p.log() * (target >= 0)).sum()
    ours = SoftmaxFocalLoss(2.0, 0.25, reduction='sum')(x, target)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(torch.autograd.grad(ours, x)[0], torch.autograd.grad(expected, x)[0])


def test_roi_pool_has_the_values_of_mmcvs_tests():
    x = torch.tensor([[[[1.0, 2, 5, 6], [3, 4, 7, 8], [9, 10, 13, 14], [11, 12, 15, 16]]]], requires_grad=True)
    output = RoIPool(2)(x, torch.tensor([[0.0, 0, 0, 3, 3]]))
    output.sum().backward()
    assert output.flatten().tolist() == [4, 8, 12, 16]
    assert x.grad.flatten().nonzero().flatten().tolist() == [5, 7, 13, 15]


def test_roi_pool_is_the_maximum_over_each_cell():
    random = np.random.RandomState(0)
    x = random.standard_normal((2, 3, 7, 9)).astype(np.float32)
    rois = np.array(
        [[0, 1.3, 2.2, 9.1, 8.4], [1, -7, -4, 6, 5], [1, 11, 9, 30, 22], [0, 40, 40, 50, 50], [0, 8, 8, 2, 2]],
        dtype=np.float32,
    )
    expected, gradient = _pool_by_loops(x, rois, size=(3, 2), scale=0.5)
    features = torch.from_numpy(x).requires_grad_()
    output = RoIPool((3, 2), 0.5)(features, torch.from_numpy(rois))
    output[:4].sum().backward()
    np.testing.assert_array_equal(output.detach(), expected)
    np.testing.assert_array_equal(features.grad, gradient)


def _pool_by_loops(x, rois, size, scale):
    output = np.zeros((len(rois), x.shape[1], *size), np.float32)
    gradient = np.zeros_like(x)
    H, W = x.shape[2:]
    for n, (image, x1, y1, x2, y2) in enumerate(rois):
        left, top, width, height = x1 * scale, y1 * scale, (x2 + 1 - x1) * scale, (y2 + 1 - y1) * scale
        for c, i, j in np.ndindex(output.shape[1:]) if min(width, height) > 0 else ():
            rows = _cell(top, height / size[0], i, H)
            columns = _cell(left, width / size[1], j, W)
            pixels = [(x[int(image), c, r, k], -r, -k) for r in rows for k in columns]
            if pixels:
                output[n, c, i, j], r, k = max(pixels)
                gradient[int(image), c, -r, -k] += 1
    return output, gradient


def _cell(start, length, number, limit):
    first, last = np.floor(start + number * length), np.ceil(start + (number + 1) * length)
    return range(max(int(first), 0), min(int(last), limit))


def test_masked_convolution_is_a_convolution_at_the_mask():
    torch.manual_seed(0)
    for kernel, padding in ((3, 1), ((5, 1), (2, 0)), (1, 0)):
        layer = MaskedConv2d(3, 4, kernel, padding=padding)
        x, mask = torch.randn(1, 3, 7, 9), (torch.rand(1, 7, 9) > 0.6).float()
        torch.testing.assert_close(layer(x, mask), layer(x) * mask)
    assert not layer(x, torch.zeros(1, 7, 9)).any()


def _carafe_by_loops(x, masks, k, groups, s):
    B, C, H, W = x.shape
    output = np.zeros((B, C, H * s, W * s), x.dtype)
    for b, c, i, j in np.ndindex(output.shape):
        for dy, dx in np.ndindex(k, k):
            y, z = i // s + dy - k // 2, j // s + dx - k // 2
            if 0 <= y < H and 0 <= z < W:
                tap = (c // (C // groups) * k + dy) * k + dx
                output[b, c, i, j] += x[b, c, y, z] * masks[b, tap, i, j]
    return output


def test_carafe_reassembles_by_its_masks():
    torch.manual_seed(0)
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    masks = torch.randn(2, 2 * 9, 6, 10, dtype=torch.float64, requires_grad=True)
    layer = CARAFE(3, 2, 2)
    expected = _carafe_by_loops(x.detach().numpy(), masks.detach().numpy(), 3, 2, 2)
    np.testing.assert_allclose(layer(x, masks).detach(), expected, atol=1e-12)
    assert gradcheck(layer, (x, masks))
    # mmcv's layer for the naive operators refuses gradients on a CPU, so these are called here.
    output, of_x, of_masks = torch.zeros(2, 4, 6, 10).double(), torch.zeros_like(x), torch.zeros_like(masks)
    arguments = dict(kernel_size=3, group_size=2, scale_factor=2)
    with torch.no_grad():
        carafe.carafe_naive_forward(x, masks, output, **arguments)
        carafe.carafe_naive_backward(torch.ones_like(output), x, masks, of_x, of_masks, **arguments)
    np.testing.assert_allclose(output, expected, atol=1e-12)
    gradients = torch.autograd.grad(layer(x, masks).sum(), (x, masks))
    torch.testing.assert_close((of_x, of_masks), gradients)


def _attention_by_loops(value, shapes, locations, weights):
    B, _, heads, width = value.shape
    output = np.zeros((B, locations.shape[1], heads, width))
    starts = np.concatenate(([0], np.cumsum([h * w for h, w in shapes])))
    for b, q, head, level, point in np.ndindex(locations.shape[:-1]):
        H, W = shapes[level]
        x, y = locations[b, q, head, level, point] * (W, H) - 0.5
        for row, column in np.ndindex(2, 2):
            r, c = int(np.floor(y)) + row, int(np.floor(x)) + column
            if 0 <= r < H and 0 <= c < W:
                share = (1 - abs(y - r)) * (1 - abs(x - c)) * weights[b, q, head, level, point]
                output[b, q, head] += share * value[b, starts[level] + r * W + c, head]
    return output.reshape(B, -1, heads * width)


def test_deformable_attention_samples_bilinearly():
    torch.manual_seed(0)
    shapes = torch.tensor([[4, 6], [2, 3]])
    value = torch.randn(2, 30, 2, 3, dtype=torch.float64, requires_grad=True)
    locations = (1.6 * torch.rand(2, 5, 2, 2, 3, 2, dtype=torch.float64) - 0.3).requires_grad_()  # some outside
    weights = torch.rand(2, 5, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    starts = torch.tensor([0, 24])
    call = partial(MultiScaleDeformableAttnFunction.apply, value, shapes, starts)
    expected = _attention_by_loops(
        value.detach().numpy(), shapes.numpy(), locations.detach().numpy(), weights.detach().numpy()
    )
    np.testing.assert_allclose(call(locations, weights, 64).detach(), expected, atol=1e-12)
    assert gradcheck(
        lambda v, loc, w: MultiScaleDeformableAttnFunction.apply(v, shapes, starts, loc, w, 64),
        (value, locations, weights),
    )
