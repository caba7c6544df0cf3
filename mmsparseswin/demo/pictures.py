"""Draw heat, windows, places and boards of tokens over a picture, and find what a click meant."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from mmsparseswin.easy.results import Result
from mmsparseswin.visualization.marks import Marks, draw_marks, font
from mmsparseswin.visualization.sheets import with_heading

SIDE = 640  # longer side of a picture on the page, pixels
_LARGEST = 1280
_GAP = 3  # between the tokens of a board
_CHOSEN, _LINE, _RIM = (64, 224, 208), (255, 255, 255), (24, 24, 27)


def shown_size(pixels: np.ndarray) -> tuple[int, int]:
    """Return width and height at which a picture is shown: small ones are enlarged, huge ones shrunk."""
    height, width = pixels.shape[:2]
    scale = min(max(height, width, SIDE), _LARGEST) / max(height, width)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def draw_result(result: Result) -> Image.Image:
    """Draw boxes and masks of a detector over the picture, or write the class above it."""
    pixels = result.picture
    if result.boxes is None:
        return with_heading(_enlarged(pixels), f'{result.classes[result.labels[0]]} {100 * result.scores[0]:.0f} %')
    marks = Marks(result.boxes, result.labels, result.scores, result.masks)
    return draw_marks(pixels, marks, result.classes, max(shown_size(pixels)))


def draw_heat(pixels: np.ndarray, heat: Tensor | None, darker: Tensor | None = None) -> Image.Image:
    """Lay heat over a picture (H, W, 3), uint8 RGB, a cell per value; the strongest is bright, none is dark.

    Args:
        pixels: the picture.
        heat: (rows, columns); None leaves the picture.
        darker: (rows, columns) bool, places that are not computed.
    """
    picture = _enlarged(pixels)
    base = np.asarray(picture, np.float32)
    if heat is not None:
        values = heat.float().cpu().numpy()
        values = _stretched(values / max(float(values.max()), 1e-12), picture.size)
        colours = 255 * matplotlib.colormaps['inferno'](values)[..., :3]
        grey = base.mean(2, keepdims=True) * np.ones(3)
        strength = 0.45 + 0.4 * values[..., None]
        base = (1 - strength) * grey + strength * colours
    if darker is not None:
        base = base * np.where(_stretched(darker.cpu().numpy(), picture.size), 0.35, 1.0)[..., None]
    return Image.fromarray(base.round().clip(0, 255).astype(np.uint8))


def draw_matrix(values: Tensor) -> Image.Image:
    """Draw a matrix as a square of cells; the strongest is bright."""
    cells = values.float().cpu().numpy()
    cells = _stretched(cells / max(float(cells.max()), 1e-12), (SIDE, SIDE))
    return Image.fromarray((255 * matplotlib.colormaps['inferno'](cells)[..., :3]).astype(np.uint8))


def draw_windows(picture: Image.Image, numbers: Tensor) -> Image.Image:
    """Draw a line between cells (rows, columns) of different windows."""
    spread = _stretched(numbers.cpu().numpy(), picture.size)
    border = np.zeros(spread.shape, bool)
    border[:, 1:] |= spread[:, 1:] != spread[:, :-1]
    border[1:] |= spread[1:] != spread[:-1]
    pixels = np.asarray(picture).copy()
    pixels[border] = (0.5 * pixels[border] + 0.5 * np.array(_LINE)).astype(np.uint8)
    return Image.fromarray(pixels)


def mark_cell(picture: Image.Image, grid: tuple[int, int], cell: tuple[int, int]) -> Image.Image:
    """Draw a frame around the cell (row, column) of a grid (rows, columns) over the picture."""
    (rows, columns), (row, column) = grid, cell
    x1, x2 = (round((column + step) * picture.width / columns) for step in (0, 1))
    y1, y2 = (round((row + step) * picture.height / rows) for step in (0, 1))
    grow = max(8 - min(x2 - x1, y2 - y1), 0) // 2  # a cell of few pixels must be seen
    picture, box = picture.copy(), (x1 - grow, y1 - grow, x2 + grow - 1, y2 + grow - 1)
    draw = ImageDraw.Draw(picture)
    draw.rectangle([box[0] - 2, box[1] - 2, box[2] + 2, box[3] + 2], outline=_RIM, width=5)
    draw.rectangle([box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1], outline=_CHOSEN, width=3)
    return picture


def draw_board(
    heats: Sequence[Tensor], columns: int, shares: Tensor | None = None, chosen: int | None = None
) -> Image.Image:
    """Draw a small map per token, row by row; with `shares` (T,) the asked tokens bright, with their percentage.

    Args:
        heats: (rows, columns) of each token.
        columns: tokens in a row.
        shares: how much each token is asked.
        chosen: gets a frame.
    """
    rows = -(-len(heats) // columns)
    wide = max(SIDE // columns - _GAP, 12)
    high = max(min(round(wide * heats[0].shape[0] / heats[0].shape[1]), 2 * wide), 8)
    board = Image.new('RGB', (columns * (wide + _GAP), rows * (high + _GAP)), (250, 250, 250))
    letters = font(max(min(wide // 5, 15), 9), bold=True)
    for index, heat in enumerate(heats):
        values = heat.float().cpu().numpy()
        values = values / max(float(values.max()), 1e-12)
        if shares is not None:
            values = values * (0.2 + 0.8 * float(shares[index] / shares.max()))
        tile = Image.fromarray((255 * matplotlib.colormaps['inferno'](values)[..., :3]).astype(np.uint8))
        tile = tile.resize((wide, high), Image.Resampling.NEAREST)
        if shares is not None and float(shares[index]) >= 1.5 / len(heats):
            ImageDraw.Draw(tile).text(
                (3, 1), f'{100 * float(shares[index]):.0f} %', _LINE, letters, stroke_width=2, stroke_fill=_RIM
            )
        if index == chosen:
            ImageDraw.Draw(tile).rectangle([0, 0, wide - 1, high - 1], outline=_CHOSEN, width=3)
        board.paste(tile, (index % columns * (wide + _GAP), index // columns * (high + _GAP)))
    return board


def clicked_cell(click: Sequence[float], size: tuple[int, int], grid: tuple[int, int]) -> tuple[int, int]:
    """Return the cell (row, column) of a grid (rows, columns) under a click (x, y) on a picture of `size` (w, h)."""
    column, row = (int(at / length * count) for at, length, count in zip(click, size, grid[::-1], strict=True))
    return min(max(row, 0), grid[0] - 1), min(max(column, 0), grid[1] - 1)


def _enlarged(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels).resize(shown_size(pixels))


def _stretched(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Repeat the cells (rows, columns) to fill a picture of `size` (width, height)."""
    y = np.arange(size[1]) * values.shape[0] // size[1]
    x = np.arange(size[0]) * values.shape[1] // size[0]
    return values[y][:, x]
