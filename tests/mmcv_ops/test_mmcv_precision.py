"""Test float16 and bfloat16: mmcv.ops computes float32 arithmetic on the rounded inputs, rounded once at the end."""

import mmcv.ops
import pytest
import torch
from golden_cases import CONVOLUTIONS, align_inputs, boxes_and_scores, convolution_inputs, random_of
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

pytestmark = [
    pytest.mark.usefixtures('our_operators'),
    pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str),
]


def _assert_computed_in_float32(call, dtype, *inputs, start=-1):
    """`call` on `dtype` gives the output and gradients of float32 on the same numbers, rounded to `dtype`.

    The gradient of the output runs from `start` to 1.
    """
    results = []
    for kind in (dtype, torch.float32):
        leaves = [x.detach().to(dtype).to(kind).requires_grad_() for x in inputs]
        output = call(*leaves)
        assert output.dtype == kind
        weights = torch.linspace(start, 1, output.numel()).view_as(output).to(dtype).to(kind)
        output.backward(weights)
        results.append([output.detach(), *(x.grad for x in leaves)])
    for low, full in zip(*results, strict=True):
        assert full.any()
        torch.testing.assert_close(low, full.to(dtype), rtol=0, atol=0)


@pytest.mark.parametrize('pool_mode', ['avg', 'max'])
def test_roi_align(dtype, pool_mode):
    features, rois = align_inputs(random_of('precision'))
    layer = mmcv.ops.RoIAlign((3, 2), 0.5, sampling_ratio=2, pool_mode=pool_mode)
    rois = rois.to(dtype)
    if pool_mode == 'max':  # the places of the maxima are kept in the features' type, in mmcv too
        with torch.no_grad():
            low, full = (layer(x, rois.to(x.dtype)) for x in (features.to(dtype), features.to(dtype).float()))
        torch.testing.assert_close(low, full.to(dtype), rtol=0, atol=0)
        return
    _assert_computed_in_float32(lambda x: layer(x, rois.to(x.dtype)), dtype, features)


def test_roi_pool(dtype):
    features, rois = align_inputs(random_of('precision'))
    rois = rois.to(dtype)
    _assert_computed_in_float32(lambda x: mmcv.ops.roi_pool(x, rois.to(x.dtype), (3, 2), 0.5), dtype, features)


@pytest.mark.parametrize('kind', CONVOLUTIONS)
@pytest.mark.parametrize('modulated', [False, True])
def test_deformable_convolution(dtype, kind, modulated):
    tensors, arguments = convolution_inputs(random_of(kind), CONVOLUTIONS[kind], modulated)
    function = mmcv.ops.modulated_deform_conv2d if modulated else mmcv.ops.deform_conv2d
    _assert_computed_in_float32(lambda *x: function(*x, *arguments.values()), dtype, *tensors)


@pytest.mark.parametrize('function', [mmcv.ops.sigmoid_focal_loss, mmcv.ops.softmax_focal_loss])
def test_focal_losses(dtype, function):
    torch.manual_seed(0)
    logits, target = torch.randn(7, 3), torch.tensor([0, 1, 2, 2, 0, 1, 1])
    if function is mmcv.ops.softmax_focal_loss:  # mmcv's Python takes the softmax in the logits' type
        low = function(logits.to(dtype), target, 2.0, 0.25, None, 'sum')
        assert low.dtype == dtype
        torch.testing.assert_close(low.float(), function(logits, target, 2.0, 0.25, None, 'sum'), rtol=0.02, atol=0)
        return
    # mmcv's Python multiplies by the gradient in the logits' type: by 1 here.
    _assert_computed_in_float32(lambda x: function(x, target, 2.0, 0.25, None, 'none'), dtype, logits, start=1)


def test_deformable_attention(dtype):
    torch.manual_seed(0)
    shapes, starts = torch.tensor([[4, 6], [2, 3]]), torch.tensor([0, 24])
    inputs = torch.randn(1, 30, 2, 3), torch.rand(1, 5, 2, 2, 3, 2), torch.rand(1, 5, 2, 2, 3)
    _assert_computed_in_float32(
        lambda value, *x: MultiScaleDeformableAttnFunction.apply(value, shapes, starts, *x, 64), dtype, *inputs
    )


def test_carafe(dtype):
    torch.manual_seed(0)
    _assert_computed_in_float32(
        lambda x, masks: mmcv.ops.carafe(x, masks, 3, 2, 2), dtype, torch.randn(1, 4, 3, 5), torch.randn(1, 18, 6, 10)
    )


def test_suppression(dtype):
    boxes, scores = (x.to(dtype) for x in boxes_and_scores(random_of('precision'), 'fractions'))
    for function in (mmcv.ops.nms, mmcv.ops.soft_nms):
        dets, indices = function(boxes, scores, 0.5)
        expected, expected_indices = function(boxes.float(), scores.float(), 0.5)
        assert dets.dtype == dtype
        torch.testing.assert_close(indices, expected_indices, rtol=0, atol=0)
        torch.testing.assert_close(dets, expected.to(dtype), rtol=0, atol=0)
    rows = torch.cat((boxes, scores[:, None]), 1)
    for ours, full in zip(mmcv.ops.nms_match(rows, 0.4), mmcv.ops.nms_match(rows.float(), 0.4), strict=True):
        assert ours.tolist() == full.tolist()


def test_autocast_changes_no_box(dtype):
    boxes, scores = boxes_and_scores(random_of('precision'), 'fractions')
    features, rois = align_inputs(random_of('precision'))
    expected = mmcv.ops.nms(boxes, scores, 0.5)[1], mmcv.ops.roi_align(features, rois, (3, 2), 0.5)
    with torch.autocast('cpu', dtype=dtype):
        ours = mmcv.ops.nms(boxes, scores, 0.5)[1], mmcv.ops.roi_align(features, rois, (3, 2), 0.5)
    torch.testing.assert_close(ours, expected, rtol=0, atol=0)
