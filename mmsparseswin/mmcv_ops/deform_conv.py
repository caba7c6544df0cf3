"""Compute deformable convolution, version 1 and version 2 (with a mask), by torchvision.

Tensors: input (B, C, H, W), weight (out, C / groups, kH, kW), offset (B, 2 * offset groups * kH * kW, H', W') of
(y, x) pairs, mask (B, offset groups * kH * kW, H', W'). Work buffers of the C++ operators (`columns`, `ones`) and
`im2col_step` are not needed.
"""

from typing import NamedTuple

import torch
import torchvision
from torch import Tensor

from mmsparseswin.mmcv_ops.precision import widen


class _Geometry(NamedTuple):
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,  # noqa: N803
    kH: int,  # noqa: N803
    dW: int,  # noqa: N803
    dH: int,  # noqa: N803
    padW: int,  # noqa: N803
    padH: int,  # noqa: N803
    dilationW: int,  # noqa: N803
    dilationH: int,  # noqa: N803
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Write the deformable convolution (version 1) into `output` (B, out, H', W')."""
    geometry = _Geometry((dH, dW), (padH, padW), (dilationH, dilationW))
    output.copy_(torchvision.ops.deform_conv2d(*widen(input, offset, weight), None, *geometry))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,  # noqa: N803
    gradInput: Tensor,  # noqa: N803
    gradOffset: Tensor,  # noqa: N803
    weight: Tensor,
    columns: Tensor,
    kW: int,  # noqa: N803
    kH: int,  # noqa: N803
    dW: int,  # noqa: N803
    dH: int,  # noqa: N803
    padW: int,  # noqa: N803
    padH: int,  # noqa: N803
    dilationW: int,  # noqa: N803
    dilationH: int,  # noqa: N803
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Add the gradients of input and offset to `gradInput` and `gradOffset`."""
    geometry = _Geometry((dH, dW), (padH, padW), (dilationH, dilationW))
    grads = _backward(gradOutput, input, weight, offset, None, geometry, group, deformable_group)
    gradInput += grads[0]
    gradOffset += grads[2]


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,  # noqa: N803
    gradWeight: Tensor,  # noqa: N803
    columns: Tensor,
    ones: Tensor,
    kW: int,  # noqa: N803
    kH: int,  # noqa: N803
    dW: int,  # noqa: N803
    dH: int,  # noqa: N803
    padW: int,  # noqa: N803
    padH: int,  # noqa: N803
    dilationW: int,  # noqa: N803
    dilationH: int,  # noqa: N803
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Add `scale` times the gradient of the weight to `gradWeight`."""
    geometry = _Geometry((dH, dW), (padH, padW), (dilationH, dilationW))
    # The gradient does not depend on the weight, which mmcv does not pass.
    weight = torch.zeros_like(gradWeight)
    gradWeight += scale * _backward(gradOutput, input, weight, offset, None, geometry, group, deformable_group)[1]


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Write the deformable convolution (version 2) into `output` (B, out, H', W')."""
    geometry = _Geometry((stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w))
    size = output.shape[-2:]
    features, offset, weight, bias, mask = widen(input, _in_size(offset, size), weight, bias, _in_size(mask, size))
    bias_or_none = bias if with_bias else None
    output.copy_(torchvision.ops.deform_conv2d(features, offset, weight, bias_or_none, *geometry, mask=mask))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Add the gradients to `grad_input`, `grad_weight`, `grad_bias` (if any), `grad_offset` and `grad_mask`."""
    geometry = _Geometry((stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w))
    size = grad_output.shape[-2:]
    offset, mask = _in_size(offset, size), _in_size(mask, size)
    grads = _backward(grad_output, input, weight, offset, mask, geometry, group, deformable_group)
    targets: tuple[Tensor, ...] = (grad_input, grad_weight, _in_size(grad_offset, size), _in_size(grad_mask, size))
    if with_bias:
        targets += (grad_bias,)
    for target, grad in zip(targets, grads, strict=False):
        target += grad


def _in_size(x: Tensor, size: torch.Size) -> Tensor:
    """Return the first values per channel of x (B, channels, any, any) as (B, channels, *size), a view if possible.

    mmcv's operators do not look at the size of offsets and masks; they read the memory as if it were that of the
    output. mmdet's DyHead depends on it: it passes offsets of a finer level.
    """
    if x.shape[-2:] == size:
        return x
    B, channels = x.shape[:2]
    return x.flatten(1)[:, : channels * size.numel()].view(B, channels, *size)


def _backward(
    grad: Tensor,
    features: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    geometry: _Geometry,
    groups: int,
    offset_groups: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of features, weight, offset, mask and bias.

    By the operator behind the autograd of torchvision.ops.deform_conv2d; through autograd the forward would run again.
    """
    mask_or_none = offset.new_zeros(len(offset), 1) if mask is None else mask  # stands for `no mask` in torchvision
    bias = weight.new_zeros(len(weight))
    tensors = widen(grad.contiguous(), features, weight, offset, mask_or_none, bias)
    numbers = [number for pair in geometry for number in pair]
    backward = torch.ops.torchvision._deform_conv2d_backward
    return backward(*tensors, *numbers, groups, offset_groups, mask is not None)
