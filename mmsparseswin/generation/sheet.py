"""Pictures side by side in one image."""

from collections.abc import Sequence

from PIL import Image
from torch import Tensor

_GAP = 2  # pixels


def to_image(picture: Tensor) -> Image.Image:
    """(1 or 3, H, W) uint8 -> grey or RGB image."""
    pixels = picture.cpu().numpy()
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))


def draw_sheet(rows: Sequence[Sequence[Tensor]]) -> Image.Image:
    """Tile rows of pictures (C, H, W) uint8 of one size, left to right and top to bottom."""
    first = to_image(rows[0][0])
    width, height = first.size[0] + _GAP, first.size[1] + _GAP
    size = (max(map(len, rows)) * width - _GAP, len(rows) * height - _GAP)
    sheet = Image.new(first.mode, size, (128,) * len(first.getbands()))
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            sheet.paste(to_image(picture), (column * width, row * height))
    return sheet
