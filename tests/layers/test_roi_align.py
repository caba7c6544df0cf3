"""Compare RoIAlign by rows of a channels-last map with torchvision's."""

import pytest
import torch
import torchvision

from mmsparseswin.layers.roi_align import roi_align

MAP = (2, 5, 19, 31)


def boxes(n: int) -> torch.Tensor:
    """Draw boxes of two images of 304 x 496 pixels, some of which cross or lie outside of the border."""
    centre = torch.rand(n, 2) * torch.tensor([560.0, 370.0]) - 30
    half = torch.rand(n, 2) * torch.tensor([250.0, 20.0])
    return torch.cat((torch.arange(n)[:, None] % 2, centre - half, centre + half), 1)


@pytest.mark.parametrize('layout', [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize(('size', 'sampling_ratio'), [((7, 7), 0), ((3, 6), 0), ((7, 7), 2), ((1, 4), 3)])
def test_numbers_and_gradients_are_torchvisions(layout, aligned, size, sampling_ratio):
    torch.manual_seed(0)
    features = torch.randn(MAP, dtype=torch.float64).to(memory_format=layout)
    regions = boxes(60).double()
    regions[0, 1:] = torch.tensor([5.0, 5.0, 5.0, 5.0])  # nothing inside
    regions[1, 1:] = torch.tensor([80.0, 60.0, 40.0, 30.0])  # corners swapped
    regions[2, 1:] = torch.tensor([-900.0, -900.0, -800.0, -800.0])
    regions[3, 1:] = torch.tensor([0.0, 0.0, 496.0, 304.0])
    results = []
    for function in (torchvision.ops.roi_align, roi_align):
        x = features.clone().requires_grad_()
        pooled = function(x, regions, size, 1 / 16, sampling_ratio, aligned)
        torch.manual_seed(1)
        (pooled * torch.randn(pooled.shape, dtype=torch.float64)).sum().backward()
        results.append((pooled, x.grad))
    for ours, theirs in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_no_boxes_give_no_cells_and_the_gradient_0():
    features = torch.randn(MAP).requires_grad_()
    pooled = roi_align(features, torch.zeros(0, 5), (7, 7), 1 / 16)
    assert pooled.shape == (0, 5, 7, 7)
    pooled.sum().backward()
    assert features.grad is not None
    assert not features.grad.any()


def test_large_boxes_keep_float32_coordinates():
    torch.manual_seed(0)
    features, regions = torch.randn(MAP), boxes(60)
    expected = torchvision.ops.roi_align(features, regions, (7, 7), 1 / 16, 0, True)
    torch.testing.assert_close(roi_align(features, regions, (7, 7), 1 / 16), expected, rtol=0, atol=1e-4)
