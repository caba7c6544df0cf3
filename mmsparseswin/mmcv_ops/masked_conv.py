"""Convolve at chosen pixels only: collect patches around them and write the results back."""

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_im2col_forward(
    im: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Write the patches of an image (1, C, H, W) at n output pixels into `col` (C * kernel_h * kernel_w, n)."""
    # Output pixels may be as large as H and W, so the last patches may need padding of a whole kernel.
    padded = F.pad(im[0], (pad_w, kernel_w, pad_h, kernel_h))
    rows = mask_h_idx + torch.arange(kernel_h, device=im.device)[:, None]  # (kernel_h, n)
    columns = mask_w_idx + torch.arange(kernel_w, device=im.device)[:, None]
    col.copy_(padded[:, rows[:, None], columns[None]].reshape(col.shape))  # (C, kernel_h, kernel_w, n)


def masked_col2im_forward(
    col: Tensor, mask_h_idx: Tensor, mask_w_idx: Tensor, im: Tensor, height: int, width: int, channels: int
) -> None:
    """Write the columns of `col` (channels, n) to their pixels of `im` (1, channels, height, width)."""
    im[0, :, mask_h_idx, mask_w_idx] = col
