"""Arrange pictures: headings, side by side, contact sheets."""

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw

from mmsparseswin.visualization.marks import font

_GAP = 8
_LINE = 17
_INK, _PAPER = (24, 24, 27), (255, 255, 255)


def with_heading(picture: Image.Image, text: str, lines: int | None = None, bold: bool = False) -> Image.Image:
    """Return the picture with `text` above it, broken to its width; `lines` reserves room for as many."""
    letters = font(bold=bold)
    width = max(int(picture.width / (0.9 * letters.getlength('n'))), 8)
    broken = textwrap.wrap(text, width, max_lines=lines, placeholder=' …') or ['']
    top = _LINE * (lines or len(broken)) + 4
    page = Image.new('RGB', (picture.width, picture.height + top), _PAPER)
    ImageDraw.Draw(page).multiline_text((1, 1), '\n'.join(broken), fill=_INK, font=letters, spacing=2)
    page.paste(picture, (0, top))
    return page


def beside(pictures: Sequence[Image.Image], gap: int = _GAP) -> Image.Image:
    """Return the pictures in one row, aligned at the top."""
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    page = Image.new('RGB', (width, max(picture.height for picture in pictures)), _PAPER)
    x = 0
    for picture in pictures:
        page.paste(picture, (x, 0))
        x += picture.width + gap
    return page


def contact_sheet(tiles: Sequence[Image.Image], columns: int) -> Image.Image:
    """Return the tiles in rows of `columns`; each row is as high as its highest tile."""
    columns = min(columns, len(tiles))
    rows = [tiles[first : first + columns] for first in range(0, len(tiles), columns)]
    width = max(tile.width for tile in tiles)
    heights = [max(tile.height for tile in row) for row in rows]
    page = Image.new('RGB', (columns * (width + _GAP) + _GAP, sum(heights) + _GAP * (len(rows) + 1)), _PAPER)
    y = _GAP
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            page.paste(tile, (_GAP + column * (width + _GAP), y))
        y += height + _GAP
    return page
