"""From the tokens of the finest level to pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.patches import PatchExpanding


class PixelOutput(nn.Module):
    """One linear layer, 0 at the start, whose channels are the pixels of a patch.

    Args:
        dims: channels of a token.
        channels: of the picture.
        patch_size: side of a patch, in pixels.
    """

    def __init__(self, dims: int, channels: int, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.fc = nn.Linear(dims, channels * patch_size**2)
        nn.init.zeros_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """(B, N, dims) -> (B, channels, height, width)."""
        return F.pixel_shuffle(grid.to_map(self.fc(x)), self.patch_size)


class DualUpsample(nn.Module):
    """Twice as fine by patch expanding and, beside it, by bilinear interpolation; both joined by a 1x1 convolution.

    Args:
        dims: channels in; half of them come out.
    """

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.expand = PatchExpanding(dims)
        self.narrow = nn.Conv2d(dims, dims // 2, 1)
        self.join = nn.Conv2d(dims, dims // 2, 1)
        self.norm = nn.LayerNorm(dims // 2)
        self.act = nn.GELU()

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """(B, N, dims) -> (B, 4N, dims / 2) and its grid."""
        expanded, finer = self.expand(x, grid)
        smooth = self.narrow(F.interpolate(grid.to_map(x), scale_factor=2, mode='bilinear', align_corners=False))
        x = self.join(torch.cat((finer.to_map(expanded), smooth), 1))
        return self.act(self.norm(x.flatten(2).transpose(1, 2))), finer


class DualOutput(nn.Module):
    """The published way to pixels: two dual upsamplings, then a 3x3 convolution.

    Args:
        dims: channels of a token.
        channels: of the picture.
        patch_size: must be 4, for two upsamplings.
    """

    def __init__(self, dims: int, channels: int, patch_size: int) -> None:
        super().__init__()
        assert patch_size == 4
        self.ups = nn.ModuleList((DualUpsample(dims), DualUpsample(dims // 2)))
        self.conv = nn.Conv2d(dims // 4, channels, 3, padding=1)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """(B, N, dims) -> (B, channels, height, width)."""
        for up in self.ups:
            x, grid = up(x, grid)
        return self.conv(grid.to_map(x))
