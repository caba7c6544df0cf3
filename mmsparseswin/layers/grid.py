"""The token grid a feature map lives on, and which part of it shows the image rather than batch padding."""

from operator import index
from typing import NamedTuple

import torch
from torch import Tensor

from mmsparseswin.errors import InputError


class Grid(NamedTuple):
    """Size of a token map, in tokens.

    ``valid`` holds one (height, width) per image of the batch when the images were padded to a common size at the right
    and bottom; None when every token shows the image. It is hashable, so that plans can be cached by it.
    """

    height: int
    width: int
    valid: tuple[tuple[int, int], ...] | None = None

    def coarser(self, factor: int) -> 'Grid':
        """The grid after a stride of ``factor`` (rounded up: borders are padded, never dropped)."""
        valid = self.valid and tuple((-(-h // factor), -(-w // factor)) for h, w in self.valid)
        return Grid(-(-self.height // factor), -(-self.width // factor), valid)

    def keep_valid(self, x: Tensor) -> Tensor:
        """Zero the tokens of ``x`` (B, height * width, C) that show padding."""
        return x if self.valid is None else x * self.mask(x.device).flatten(1)[:, :, None]

    def to_map(self, x: Tensor) -> Tensor:
        """Tokens (B, height * width, C) -> map (B, C, height, width), zero on padding.

        On a CPU the map is in channels-last layout, which tokens have by nature and convolutions prefer there.
        """
        # -1, not unflatten, behind which PyTorch's exporter to ONNX takes the batch size for a constant.
        x = self.keep_valid(x).transpose(1, 2).view(-1, x.shape[-1], self.height, self.width)
        return x if x.device.type == 'cpu' else x.contiguous()

    def mask(self, device: torch.device) -> Tensor:
        """(B, height, width) bool, True where the image is. Only where ``valid`` is known."""
        assert self.valid is not None
        sizes = torch.tensor(self.valid, device=device)
        rows = torch.arange(self.height, device=device) < sizes[:, :1]  # (B, height)
        cols = torch.arange(self.width, device=device) < sizes[:, 1:]  # (B, width)
        return rows[:, :, None] & cols[:, None, :]


def split_valid_area(x: Tensor, in_channels: int) -> tuple[Tensor, Grid]:
    """Take the valid-area channel off an image batch.

    Args:
        x: (B, in_channels, H, W), or (B, in_channels + 1, H, W) whose last channel is 1 on the image and 0 on the
            padding at its right and bottom.
        in_channels: channels of the image itself.

    Returns:
        The image batch (B, in_channels, H, W), zero on the padding, and its grid in pixels.

    Raises:
        ValueError: any other number of channels.
    """
    channels = x.shape[1]
    # An index is a constant to torch.compile: each size gets a graph of its own, as its tables do.
    height, width = index(x.shape[2]), index(x.shape[3])
    if channels == in_channels:
        return x, Grid(height, width)
    if channels != in_channels + 1:
        raise InputError(
            f'got {channels} input channels, expected in_channels={in_channels} '
            f'(or {in_channels + 1}, the last one marking the valid area)'
        )
    x, inside = x[:, :-1], x[:, -1] > 0.5
    sizes = torch.stack((inside.any(2).sum(1), inside.any(1).sum(1)), 1).tolist()  # one sync for the whole batch
    valid = tuple((h, w) for h, w in sizes)
    if all(size == (height, width) for size in valid):
        return x, Grid(height, width)
    return x * inside[:, None], Grid(height, width, valid)
