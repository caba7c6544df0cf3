"""Draw objects on pictures: a colour per class, and names that do not cover each other."""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Ten colours that differ in lightness too, then hues by the golden ratio, which stay apart for any number of classes.
_FIRST = ('#e6194b', '#3cb44b', '#4363d8', '#ffe119', '#f032e6', '#42d4f4', '#f58231', '#bfef45', '#911eb4', '#ffffff')
_TINT = 0.4  # share of the class's colour in a mask
_SIZE = 13  # of letters, pixels
_INK, _PAPER = (24, 24, 27), (250, 250, 250)

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]


@dataclass
class Marks:
    """Objects of one picture: N boxes (x1, y1, x2, y2) in its pixels, labels, and what else is known of them."""

    boxes: np.ndarray  # (N, 4)
    labels: np.ndarray  # (N,)
    scores: np.ndarray | None = None  # (N,)
    masks: np.ndarray | None = None  # (N, height, width) bool
    texts: Sequence[str] | None = None  # in the place of class names and scores
    colours: Sequence[Colour] | None = None  # in the place of the classes' colours

    def __len__(self) -> int:
        return len(self.labels)


def class_colour(label: int) -> Colour:
    """Return the colour of a class, the same in every picture."""
    if label < len(_FIRST):
        return tuple(bytes.fromhex(_FIRST[label][1:]))  # type: ignore[return-value]
    hue = (label * 0.618034) % 1
    return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.65, 0.95))  # type: ignore[return-value]


@cache
def font(size: int = _SIZE, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which comes with matplotlib."""
    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / name), size)


def draw_marks(pixels: np.ndarray, marks: Marks, names: Sequence[str] = (), side: int | None = None) -> Image.Image:
    """Draw masks, boxes and names of objects on a picture.

    Args:
        pixels: (height, width, 3) uint8 RGB.
        marks: the objects.
        names: of the classes by label.
        side: longer side of the result in pixels; None keeps the size. Letters and lines keep theirs.
    """
    height, width = pixels.shape[:2]
    colours = marks.colours or [class_colour(int(label)) for label in marks.labels]
    if marks.masks is not None:
        pixels = pixels.astype(np.float32)
        for mask, colour in zip(marks.masks, colours, strict=True):
            pixels[mask] = (1 - _TINT) * pixels[mask] + _TINT * np.array(colour)
        pixels = pixels.round().astype(np.uint8)
    scale = side / max(height, width) if side else 1.0
    picture = Image.fromarray(pixels).resize((max(round(width * scale), 1), max(round(height * scale), 1)))
    draw = ImageDraw.Draw(picture)
    boxes = [tuple(box) for box in (np.asarray(marks.boxes, dtype=float).reshape(-1, 4) * scale).tolist()]
    for box, colour in zip(boxes, colours, strict=True):
        x1, y1, x2, y2 = _ordered(box)
        draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=_INK)  # a dark rim, to be seen on any ground
        draw.rectangle((x1, y1, x2, y2), outline=colour, width=2)
    taken: list[Box] = []
    largest_first = sorted(range(len(boxes)), key=lambda index: -_area(boxes[index]))
    for index in reversed(largest_first):  # small objects have the fewest places for their name
        _write(draw, _text(marks, index, names), boxes[index], colours[index], picture.size, taken)
    return picture


def _text(marks: Marks, index: int, names: Sequence[str]) -> str:
    if marks.texts is not None:
        return marks.texts[index]
    label = int(marks.labels[index])
    name = names[label] if label < len(names) else str(label)
    return name if marks.scores is None else f'{name} {100 * marks.scores[index]:.0f}'


def _write(
    draw: ImageDraw.ImageDraw, text: str, box: Box, colour: Colour, size: tuple[int, int], taken: list[Box]
) -> None:
    """Write `text` near `box` where it covers the least of the names in `taken`, and add its place to them."""
    if not text:
        return
    letters = font()
    wide, high = round(letters.getlength(text)) + 6, _SIZE + 4
    x1, y1, x2, y2 = _ordered(box)
    corners = [(x, y) for y in (y1 - high, y1, y2 - high, y2) for x in (x1, x2 - wide)]
    corners += [(x, y1 + step * high) for step in range(1, 4) for x in (x1, x2, x1 - wide)]
    places = []
    for x, y in corners:
        x, y = min(max(x, 0), max(size[0] - wide, 0)), min(max(y, 0), max(size[1] - high, 0))
        places.append((x, y, x + wide, y + high))
    place = min(places, key=lambda place: sum(_shared(place, other) for other in taken))
    taken.append(place)
    draw.rectangle(place, fill=colour)
    dark = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140
    draw.text((place[0] + 3, place[1] + 1), text, fill=_INK if dark else _PAPER, font=letters)


def _ordered(box: Box) -> Box:
    x1, y1, x2, y2 = box
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def _area(box: Box) -> float:
    x1, y1, x2, y2 = _ordered(box)
    return (x2 - x1) * (y2 - y1)


def _shared(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)
