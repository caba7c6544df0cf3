"""Draw textures, backgrounds with clutter, and light of a picture.

Colours are float32 arrays of (H, W, 3) around 0..1. Every function takes the random generator it draws from, so a
picture is a function of its seed. Lengths are fractions of `unit`, the long side of the picture in pixels.
"""

import numpy as np

# One for each class, in their order.
TEXTURES = ('flat', 'stripes', 'checker', 'gradient', 'noise', 'dots')


def smooth_noise(rng: np.random.Generator, height: int, width: int, cell: float) -> np.ndarray:
    """Return smoothly interpolated random values on a lattice of `cell` pixels: (height, width), within -1..1."""
    top, down = _knots(height, cell)
    left, right = _knots(width, cell)
    lattice = rng.uniform(-1, 1, (top[-1] + 2, left[-1] + 2)).astype(np.float32)
    # No matrix product: the rounding of BLAS depends on its threads, and the files must be equal everywhere.
    rows = lattice[top] + down[:, None] * (lattice[top + 1] - lattice[top])
    return rows[:, left] + right * (rows[:, left + 1] - rows[:, left])


def _knots(length: int, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the knot before each of `length` pixels, and the smoothstep weight of the next knot."""
    position = (np.arange(length) + 0.5) / cell
    before = position.astype(int)
    step = (position - before).astype(np.float32)
    return before, step * step * (3 - 2 * step)


def ramp(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return a linear ramp in a random direction, (height, width), at most -1..1."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)
    return (x * np.cos(angle) + y * np.sin(angle)) / np.sqrt(2)


def texture(rng: np.random.Generator, height: int, width: int, unit: int, kind: str) -> np.ndarray:
    """Return a pattern, `kind` one of `TEXTURES`: (height, width), within -1..1."""
    if kind == 'flat':
        return np.zeros((height, width), np.float32)
    if kind == 'gradient':
        return ramp(rng, height, width)
    if kind == 'noise':
        return smooth_noise(rng, height, width, cell=unit * rng.uniform(0.02, 0.1))
    angle, period = rng.uniform(0, 2 * np.pi), unit * rng.uniform(0.035, 0.12)
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    along = np.sin((x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / period))
    if kind in ('checker', 'dots'):
        along = along * np.sin((y * np.cos(angle) - x * np.sin(angle)) * (2 * np.pi / period))
    if kind == 'dots':
        along = along - 0.5
    return np.clip(4 * along, -1, 1)  # a steep sine: edges one or two pixels soft


def colour_apart(rng: np.random.Generator, ground: np.ndarray, distance: float) -> np.ndarray:
    """Return the colour among random ones whose RGB distance from the colour `ground` is nearest to `distance`."""
    candidates = rng.uniform(0, 1, (16, 3)).astype(np.float32)
    return candidates[np.abs(np.linalg.norm(candidates - ground, axis=1) - distance).argmin()]


def background(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Draw a textured ground, (height, width, 3): two patterns, noise at three scales, and clutter without objects."""
    unit = max(height, width)
    ground = np.broadcast_to(rng.uniform(0.15, 0.85, 3).astype(np.float32), (height, width, 3)).copy()
    for _ in range(2):
        ground += texture(rng, height, width, unit, str(rng.choice(TEXTURES)))[..., None] * _shift(rng, 0.1)
    for cell in (0.4, 0.12, 0.03):
        ground += smooth_noise(rng, height, width, unit * cell)[..., None] * _shift(rng, 0.08)
    for _ in range(rng.integers(2, 8)):
        alpha = (_line if rng.random() < 0.5 else _blob)(rng, height, width)[..., None]
        colour = colour_apart(rng, ground.mean((0, 1)), distance=rng.uniform(0.1, 0.5))
        ground += alpha * (colour - ground)
    return ground


def _shift(rng: np.random.Generator, scale: float) -> np.ndarray:
    """Return the amplitude of a pattern in each colour channel: mostly brightness, a little hue."""
    return (rng.normal(0, scale) + rng.normal(0, scale / 3, 3)).astype(np.float32)


def _line(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return the coverage (height, width) of a thin straight line segment."""
    unit = max(height, width)
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    angle, length = rng.uniform(0, np.pi), unit * rng.uniform(0.2, 0.9)
    dx, dy = x - rng.uniform(0, width), y - rng.uniform(0, height)
    along = dx * np.cos(angle) + dy * np.sin(angle)
    beyond = along - np.clip(along, -length / 2, length / 2)
    distance = np.hypot(beyond, dy * np.cos(angle) - dx * np.sin(angle))
    return np.clip(unit * rng.uniform(0.003, 0.01) + 0.5 - distance, 0, 1)


def _blob(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return the coverage (height, width) of an irregular blob: a circle whose radius varies far more than a disk's."""
    unit = max(height, width)
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    dx, dy = x - rng.uniform(0, width), y - rng.uniform(0, height)
    angle, radius = np.arctan2(dy, dx), np.full((height, width), unit * rng.uniform(0.03, 0.12), np.float32)
    wobble = sum(rng.uniform(0.15, 0.35) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4))
    return np.clip(radius * (1 + wobble) + 0.5 - np.hypot(dx, dy), 0, 1)


def photograph(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """Apply gain, a light gradient, sometimes a soft shadow, slight blur and noise; return (H, W, 3) uint8."""
    height, width = scene.shape[:2]
    light = np.exp(rng.normal(0, 0.15)) * (1 + rng.uniform(0, 0.3) * ramp(rng, height, width))
    if rng.random() < 0.3:
        edge = (ramp(rng, height, width) - rng.uniform(-0.5, 0.5)) / rng.uniform(0.02, 0.1)
        light = light * (1 - rng.uniform(0.2, 0.5) / (1 + np.exp(-edge)))
    scene = _blur(scene * light[..., None].astype(np.float32), rng.uniform(0, 0.25))
    scene = scene + rng.normal(0, rng.uniform(0, 0.04), scene.shape)
    return (np.clip(scene, 0, 1) * 255 + 0.5).astype(np.uint8)


def _blur(scene: np.ndarray, weight: float) -> np.ndarray:
    """Mix each pixel with its neighbours, `weight` on either side, along both axes; edges repeat."""
    for axis in (0, 1):
        padded = np.pad(scene, [(int(axis == a),) * 2 for a in range(3)], mode='edge')
        before, after = (padded.take(range(k, k + scene.shape[axis]), axis) for k in (0, 2))
        scene = scene + weight * (before + after - 2 * scene)
    return scene
