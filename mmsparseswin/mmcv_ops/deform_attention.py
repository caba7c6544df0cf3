"""Compute attention at sampled points of several feature levels (Deformable DETR), by mmcv's PyTorch form."""

import torch
from torch import Tensor

from mmsparseswin.mmcv_ops.precision import widen


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Return (B, queries, heads * width).

    `value` is (B, keys, heads, width), its levels one after the other, `value_spatial_shapes` their (height, width),
    `sampling_locations` (B, queries, heads, levels, points, 2: x, y in 0 ... 1), `attention_weights` the same less
    the last axis.
    """
    tensors = widen(value, sampling_locations, attention_weights)
    return _attention(*tensors, shapes=value_spatial_shapes).to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Add the gradients to `grad_value`, `grad_sampling_loc` and `grad_attn_weight`."""
    *inputs, grad = widen(value, sampling_locations, attention_weights, grad_output)
    inputs = [x.detach().requires_grad_() for x in inputs]
    with torch.enable_grad():
        output = _attention(*inputs, shapes=value_spatial_shapes)
    for target, gradient in zip(
        (grad_value, grad_sampling_loc, grad_attn_weight), torch.autograd.grad(output, inputs, grad), strict=True
    ):
        target += gradient


def _attention(value: Tensor, locations: Tensor, weights: Tensor, *, shapes: Tensor) -> Tensor:
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch  # mmcv.ops imports this package

    return multi_scale_deformable_attn_pytorch(value, shapes.tolist(), locations, weights)
