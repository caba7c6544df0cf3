"""Compute CARAFE: upsampling by a predicted kernel per output pixel.

Features (B, C, H, W), masks (B, groups * k * k, s * H, s * W), output (B, C, s * H, s * W) for a kernel of k and a
factor of s. The C++ operators keep copies in another layout for speed; here only `rfeatures` is used, as the copy of
the features that mmcv hands to the backward operator.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmsparseswin.mmcv_ops.precision import widen


def carafe_naive_forward(
    features: Tensor, masks: Tensor, output: Tensor, kernel_size: int, group_size: int, scale_factor: int
) -> None:
    """Write the upsampled features into `output`."""
    output.copy_(_upsample(*widen(features, masks), k=kernel_size, groups=group_size, s=scale_factor))


def carafe_naive_backward(
    top_grad: Tensor,
    features: Tensor,
    masks: Tensor,
    bottom_grad: Tensor,
    mask_grad: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Add the gradients of features and masks to `bottom_grad` and `mask_grad`."""
    *inputs, grad = widen(features, masks, top_grad)
    inputs = [x.detach().requires_grad_() for x in inputs]
    with torch.enable_grad():
        output = _upsample(*inputs, k=kernel_size, groups=group_size, s=scale_factor)
    of_features, of_masks = torch.autograd.grad(output, inputs, grad)
    bottom_grad += of_features
    mask_grad += of_masks


def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Write the upsampled features into `output`, and a copy of the features into `rfeatures`."""
    rfeatures.copy_(features)
    carafe_naive_forward(features, masks, output, kernel_size, group_size, scale_factor)


def carafe_backward(
    top_grad: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rtop_grad: Tensor,
    rbottom_grad_hs: Tensor,
    rbottom_grad: Tensor,
    rmask_grad: Tensor,
    bottom_grad: Tensor,
    mask_grad: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Add the gradients of features and masks to `bottom_grad` and `mask_grad`."""
    carafe_naive_backward(top_grad, rfeatures, masks, bottom_grad, mask_grad, kernel_size, group_size, scale_factor)


def _upsample(features: Tensor, masks: Tensor, *, k: int, groups: int, s: int) -> Tensor:
    """Sum over the k * k taps of the kernel: the shifted features, each pixel s * s times, by the tap's mask."""
    B, C, H, W = features.shape
    padded = F.pad(features, (k // 2,) * 4)
    masks = masks.view(B, groups, 1, k * k, H, s, W, s)
    total = features.new_zeros(B, groups, C // groups, H, s, W, s)
    for tap in range(k * k):
        y, x = divmod(tap, k)
        shifted = padded[:, :, y : y + H, x : x + W].reshape(B, groups, C // groups, H, 1, W, 1)
        total = torch.addcmul(total, shifted, masks[:, :, :, tap])
    return total.view(B, C, H * s, W * s)
