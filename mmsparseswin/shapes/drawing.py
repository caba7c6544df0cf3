"""Draw one picture of the embedded data set: shapes that overlap on a textured ground, and the mask of each.

A class has a silhouette and, as in life, a typical colour and texture that many of its objects wear; others look like
anything, so that colour alone ends in mistakes. Light, size and angle are drawn independently of the class.
Shapes are placed from front to back, so the visible part of each is known when it is placed, and painted from back
to front.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmsparseswin.shapes.textures import TEXTURES, background, colour_apart, photograph, texture

EMPTY_SHARE = 0.05  # pictures without any object
CROWD_SHARE = 0.06  # pictures with a dense cluster of one class, annotated as one crowd
TYPICAL_SHARE = 0.65  # share of objects in the colour and texture of their class
MIN_VISIBLE = 0.25  # of a shape's area; a shape with less is left out of the picture and the annotations
MIN_PIXELS = 16
SUPERSAMPLING = 4


@dataclass(frozen=True)
class Annotation:
    """An object or a crowd region of a picture."""

    category: int
    """Index into `CLASSES`."""
    mask: np.ndarray
    """The visible part, (H, W) bool; the masks of one picture never overlap."""
    iscrowd: bool = False


@dataclass(frozen=True)
class _Stamp:
    """Coverage of one shape: alpha (h, w) in 0..1 in the `window` of the picture, and its unclipped area."""

    window: tuple[slice, slice]
    alpha: np.ndarray
    area: float


def draw_picture(rng: np.random.Generator, long_side: int) -> tuple[np.ndarray, list[Annotation]]:
    """Draw one picture.

    Args:
        rng: Everything random about the picture comes from it.
        long_side: Longer side in pixels. Two thirds of the pictures are square, the others 4:3 or 3:4.

    Returns:
        The picture, (H, W, 3) uint8 RGB, and its annotations, the front-most first.
    """
    short_side = rng.choice([long_side, long_side, round(long_side * 3 / 4)])
    height, width = (long_side, short_side) if rng.random() < 0.5 else (short_side, long_side)
    placed = [] if rng.random() < EMPTY_SHARE else _place(rng, height, width)
    canvas = background(rng, height, width)
    for annotation, stamps in reversed(placed):
        for stamp in stamps:
            _paint(rng, canvas, stamp, annotation.category)
    return photograph(rng, canvas), [annotation for annotation, _ in placed]


def _place(rng: np.random.Generator, height: int, width: int) -> list[tuple[Annotation, list[_Stamp]]]:
    """Choose shapes from front to back and keep those with enough visible area."""
    count = 1 + min(rng.poisson(3.2), 8)
    crowd_at = rng.integers(count) if rng.random() < CROWD_SHARE else -1
    placed: list[tuple[Annotation, list[_Stamp]]] = []
    free = np.ones((height, width), bool)
    for index in range(count):
        category, iscrowd = int(rng.integers(len(CLASSES))), index == crowd_at
        stamps = (_crowd if iscrowd else _single)(rng, category, height, width)
        mask = np.zeros_like(free)
        for stamp in stamps:
            mask[stamp.window] |= stamp.alpha >= 0.5
        mask &= free
        if mask.sum() >= max(MIN_PIXELS, MIN_VISIBLE * sum(stamp.area for stamp in stamps)):
            placed.append((Annotation(category, mask, iscrowd), stamps))
            free &= ~mask
    return placed


def _single(rng: np.random.Generator, category: int, height: int, width: int) -> list[_Stamp]:
    """Place one shape in the picture: median side 0.28 of the long side, 0.07 at least, about a half at most."""
    side = max(height, width) * np.clip(0.28 * np.exp(rng.normal(0, 0.42)), 0.07, 0.55)
    centre = rng.uniform(0.05, 0.95, 2) * (height, width)
    stretch, angle = np.exp(rng.uniform(-0.18, 0.18)), rng.uniform(0, 2 * np.pi)
    return [_stamp(category, centre, side / 2, stretch, angle, rng.random(), height, width)]


def _crowd(rng: np.random.Generator, category: int, height: int, width: int) -> list[_Stamp]:
    """Draw a patch of small shapes of one class, side by side on a jittered lattice."""
    side = max(height, width) * rng.uniform(0.06, 0.1)
    rows, columns = rng.integers(3, 6, 2)
    corner = rng.uniform(0, 1, 2) * (height - rows * side, width - columns * side)
    stretch, form = np.exp(rng.uniform(-0.1, 0.1)), rng.random()
    stamps = []
    for row, column in np.ndindex(rows, columns):
        centre = corner + side * (np.array((row, column)) + 0.5 + rng.uniform(-0.25, 0.25, 2))
        stamps.append(_stamp(category, centre, side / 2, stretch, rng.uniform(0, 2 * np.pi), form, height, width))
    return stamps


def _stamp(
    category: int,
    centre: np.ndarray,
    radius: float,
    stretch: float,
    angle: float,
    form: float,
    height: int,
    width: int,
) -> _Stamp:
    """Compute the coverage of a shape around `centre` (y, x), rotated by `angle` and clipped to the picture."""
    reach = int(np.ceil(radius * 1.45)) + 1  # the farthest corner, 1.15 radii out, stretched by 1.2
    top, left = (int(np.floor(c)) - reach for c in centre)
    cells = 2 * reach + 1
    offset = (np.arange(cells * SUPERSAMPLING, dtype=np.float32) + 0.5) / SUPERSAMPLING
    y, x = (top + offset - centre[0])[:, None], left + offset - centre[1]
    u = (x * np.cos(angle) + y * np.sin(angle)) / (radius * stretch)
    v = (y * np.cos(angle) - x * np.sin(angle)) / (radius / stretch)
    inside = _FORMS[CLASSES[category]](u.astype(np.float32), v.astype(np.float32), form)
    alpha = inside.reshape(cells, SUPERSAMPLING, cells, SUPERSAMPLING).mean((1, 3), dtype=np.float32)
    window = (slice(max(top, 0), min(top + cells, height)), slice(max(left, 0), min(left + cells, width)))
    area = float(alpha.sum())
    alpha = alpha[window[0].start - top : window[0].stop - top, window[1].start - left : window[1].stop - left]
    return _Stamp(window, alpha, area)


def _paint(rng: np.random.Generator, canvas: np.ndarray, stamp: _Stamp, category: int) -> None:
    """Fill a shape in place: typical of its class, or in any colour with enough contrast, or little."""
    region = canvas[stamp.window]
    if rng.random() < TYPICAL_SHARE:
        kind = TEXTURES[category]
        colour = (_COLOURS[category] + rng.normal(0, 0.07, 3)).astype(np.float32)
    else:
        kind = str(rng.choice(TEXTURES))
        colour = colour_apart(rng, region.mean((0, 1)), distance=rng.uniform(0.15, 0.75))
    pattern = texture(rng, region.shape[0], region.shape[1], max(canvas.shape), kind)
    shift = (rng.uniform(-0.2, 0.2) + rng.normal(0, 0.05, 3)).astype(np.float32)
    region += stamp.alpha[..., None] * (colour + pattern[..., None] * shift - region)


# Silhouettes: each returns True for points (u, v) inside. Radius about one; `form` in 0..1 varies its proportions.


def _disk(u: np.ndarray, v: np.ndarray, form: float) -> np.ndarray:
    return u * u + v * v <= 0.95**2


def _ring(u: np.ndarray, v: np.ndarray, form: float) -> np.ndarray:
    square = u * u + v * v
    return (square <= 1) & (square >= (0.45 + 0.2 * form) ** 2)


def _square(u: np.ndarray, v: np.ndarray, form: float) -> np.ndarray:
    return np.maximum(np.abs(u), np.abs(v)) <= 0.8


def _triangle(u: np.ndarray, v: np.ndarray, form: float) -> np.ndarray:
    inradius = 1.15 / 2
    return (-u <= inradius) & (u / 2 + np.sqrt(0.75, dtype=np.float32) * np.abs(v) <= inradius)


def _star(u: np.ndarray, v: np.ndarray, form: float) -> np.ndarray:
    tip, notch, half = 1.15, 0.42 + 0.1 * form, np.pi / 5
    # Five points and their mirror images fold onto one wedge: angle 0 at the tip, `half` at the notch.
    radius, angle = np.hypot(u, v), np.abs((np.arctan2(v, u) + half) % (2 * half) - half)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    return (notch * np.cos(half) - tip) * y >= notch * np.sin(half) * (x - tip)


def _crescent(u: np.ndarray, v: np.ndarray, form: float) -> np.ndarray:
    return (u * u + v * v <= 1.05**2) & ((u - 0.5 - 0.15 * form) ** 2 + v * v >= 0.85**2)


_FORMS: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    'disk': _disk,
    'ring': _ring,
    'square': _square,
    'triangle': _triangle,
    'star': _star,
    'crescent': _crescent,
}
CLASSES = tuple(_FORMS)
# Typical colours, in the order of the classes: red, blue, orange, green, yellow, violet.
_COLOURS = np.array(
    [(0.8, 0.2, 0.2), (0.2, 0.3, 0.8), (0.9, 0.5, 0.15), (0.2, 0.65, 0.3), (0.9, 0.85, 0.3), (0.6, 0.3, 0.75)]
)
