"""From pixels to tokens, and from tokens to fewer tokens."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsparseswin.layers.fast_path import choose, linear
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.pre_norm import init_swin


class PatchEmbed(nn.Module):
    """Non-overlapping patches, one linear projection, layer norm.

    Args:
        in_channels: channels of the image.
        dims: channels of a token.
        patch_size: side of a patch, in pixels.
        norm_eps: epsilon of the layer norm.
    """

    def __init__(self, in_channels: int, dims: int, patch_size: int, norm_eps: float = 1e-5) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.proj = nn.Conv2d(in_channels, dims, patch_size, patch_size)
        self.norm = nn.LayerNorm(dims, eps=norm_eps)

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """(B, in_channels, H, W) with its grid in pixels -> (B, N, C) and the token grid; pads to whole patches."""
        x = F.pad(x, (0, -grid.width % self.patch_size, 0, -grid.height % self.patch_size))
        return self.norm(self.proj(x).flatten(2).transpose(1, 2)), grid.coarser(self.patch_size)


class ConvStem(nn.Module):
    """Stride 4 by two 3x3 convolutions with batch norm and Hardswish, no layer norm.

    See docs/models/stvit_r.md, 'Network'.

    Args:
        in_channels: channels of the image.
        dims: channels of a token; half of them between the two.
    """

    patch_size = 4

    def __init__(self, in_channels: int, dims: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, dims // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(dims // 2)
        self.conv2 = nn.Conv2d(dims // 2, dims, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(dims)
        self.act = nn.Hardswish()

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """(B, in_channels, H, W) with its grid in pixels -> (B, N, C) and the token grid; pads to whole patches."""
        tokens = grid.coarser(self.patch_size)
        x = F.pad(x, (0, 4 * tokens.width - grid.width, 0, 4 * tokens.height - grid.height))
        x = self.act(self.bn1(self.conv1(x)))
        if tokens.valid is not None:
            # What the second convolution would find at the border of the image alone: zeros.
            valid = tuple((2 * h, 2 * w) for h, w in tokens.valid)
            x = x * Grid(2 * tokens.height, 2 * tokens.width, valid).mask(x.device)[:, None]
        x = self.act(self.bn2(self.conv2(x)))
        return x.flatten(2).transpose(1, 2), tokens


class PatchMerging(nn.Module):
    """Join 2 x 2 neighbours: concatenate, layer norm, linear without bias (Swin, section 3.1).

    The neighbours are concatenated in Microsoft's order, (row, column) = (0, 0), (1, 0), (0, 1), (1, 1).
    """

    def __init__(self, dims: int, out_dims: int, norm_eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dims, eps=norm_eps)
        self.reduction = nn.Linear(4 * dims, out_dims, bias=False)
        self.apply(init_swin)

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """(B, N, C) -> (B, ceil(height / 2) * ceil(width / 2), out_dims); odd borders are padded with zeros."""
        # view with -1, not unflatten, behind which PyTorch's exporter to ONNX takes the batch size for a constant.
        x = grid.keep_valid(x).view(-1, grid.height, grid.width, x.shape[-1])
        if grid.height % 2 or grid.width % 2:
            x = F.pad(x, (0, 0, 0, grid.width % 2, 0, grid.height % 2))
        x = torch.cat([x[:, row::2, col::2] for col in (0, 1) for row in (0, 1)], -1).flatten(1, 2)
        return linear(self.reduction, self.norm(x), choose(x)), grid.coarser(2)


class ConvPatchMerging(nn.Module):
    """Join 2 x 2 neighbours: layer norm of each, a 2x2 convolution of stride 2 without bias.

    Published as docs/models/swin.md, 'The HSE run of Swin-T', says. An odd last row or column is dropped, but for the
    only one.
    """

    def __init__(self, dims: int, out_dims: int, norm_eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dims, eps=norm_eps)
        self.reduction = nn.Conv2d(dims, out_dims, 2, 2, bias=False)

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """(B, N, C) -> (B, (height // 2) * (width // 2), out_dims), no side less than 1."""
        x = F.pad(grid.to_map(self.norm(x)), (0, int(grid.width == 1), 0, int(grid.height == 1)))
        valid = grid.valid and tuple((max(h // 2, 1), max(w // 2, 1)) for h, w in grid.valid)
        half = Grid(max(grid.height // 2, 1), max(grid.width // 2, 1), valid)
        return self.reduction(x).flatten(2).transpose(1, 2), half


MERGING = {'linear': PatchMerging, 'conv': ConvPatchMerging}


class PatchExpanding(nn.Module):
    """Split each token into 2 x 2 of half its channels: layer norm, linear C -> 2C without bias, depth to space.

    The four are in the order (row, column) = (0, 0), (0, 1), (1, 0), (1, 1).
    """

    def __init__(self, dims: int, norm_eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dims, eps=norm_eps)
        self.expansion = nn.Linear(dims, 2 * dims, bias=False)
        self.apply(init_swin)

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """(B, N, C) -> (B, 4 * N, C / 2) of the grid twice as fine."""
        x = linear(self.expansion, self.norm(x), choose(x))
        x = x.unflatten(2, (2, 2, -1)).unflatten(1, (grid.height, grid.width))
        valid = grid.valid and tuple((2 * h, 2 * w) for h, w in grid.valid)
        # (B, height, width, 2, 2, C / 2) -> (B, height, 2, width, 2, C / 2)
        return x.transpose(2, 3).flatten(1, 4), Grid(2 * grid.height, 2 * grid.width, valid)
