"""Compare the detections of a file with those of eager mmdet, one by one."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mmsparseswin.export.comparison import ALLOWED, Difference, FileDiffersError

# Detections are the same object if their boxes overlap so much and their scores differ so little.
SAME_IOU, SAME_SCORE = 0.99, 1e-3
# Pixels are moved by this part of the largest value to learn which detections rounding alone decides.
NUDGE, NUDGES = 1e-5, 3

# Image and size of its picture -> boxes (n, 4), scores (n,), labels (n,), and further rows.
Find = Callable[[np.ndarray, np.ndarray], Sequence[np.ndarray]]


class Agreement(NamedTuple):
    """What a comparison found: largest differences by output, how many detections, how many decided by rounding."""

    differences: dict[str, Difference]
    detections: int
    by_rounding: int


def compare_detections(
    ours: Find,
    theirs: Find,
    images: np.ndarray,
    given: np.ndarray,
    sizes: Sequence[np.ndarray],
    outputs: Sequence[str],
) -> Agreement:
    """Compare what eager and a file find on images.

    Each detection must have its equal on the other side. Near a threshold (of scores, of the overlap in NMS, of the
    best k candidates) rounding decides: a detection that eager finds on the image and loses on one moved by 1e-5 of its
    values, or the other way round, need not have one.

    Args:
        ours: eager.
        theirs: the file.
        images: (n, 3, H, W) normalised, for eager.
        given: the same for the file: themselves, or pictures (n, H, W, 3) of uint8.
        sizes: height and width of the picture in each, (2,) int64.
        outputs: names of what both give: boxes, scores, labels and perhaps masks.

    Raises:
        FileDiffersError: a detection without its equal, too large a difference, or nothing was found at all.
    """
    differences = {name: Difference(0.0, 0.0) for name in outputs if name != 'labels'}
    count = rounding = 0
    for image, other_image, size in zip(images, given, sizes, strict=True):
        wanted, found = ours(image[None], size), theirs(other_image[None], size)
        pairs = match(wanted, found)
        for name in differences:
            place = list(outputs).index(name)
            one, other = (rows[place][[pair[side] for pair in pairs]] for side, rows in enumerate((wanted, found)))
            if one.size:
                before = differences[name]
                largest = max(before.largest, float(np.abs(one).max()))
                differences[name] = Difference(max(before.difference, float(np.abs(one - other).max())), largest)
        count += len(pairs)
        rounding += _check_others(ours, image[None], size, wanted, found, pairs)
    if not count:
        raise FileDiffersError(
            'the model finds nothing on the pictures, so that nothing can be compared: give --images with objects that '
            'it knows, and a CHECKPOINT'
        )
    for name, gap in differences.items():
        if gap.relative > 10 * ALLOWED:  # three cascaded heads and exponentials stand behind a box
            raise FileDiffersError(
                f'{name} of the file differ from the model by {gap.difference:.2g} (largest value {gap.largest:.2g}), '
                'more than rounding: nothing was written'
            )
    return Agreement(differences, count, rounding)


def match(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """Return the pairs of equal detections of two results (boxes, scores, labels, ...), each in one pair at most."""
    overlap = _overlaps(one[0], other[0])
    near = np.abs(one[0][:, None] - other[0]).max(2, initial=0.0) < 0.01  # pixels; boxes without area overlap nothing
    same = (overlap > SAME_IOU) | near
    same &= (one[2][:, None] == other[2]) & (np.abs(one[1][:, None] - other[1]) < SAME_SCORE)
    gap = np.where(same, np.abs(one[1][:, None] - other[1]) + 1 - overlap, np.inf)
    pairs = []
    for row, each in enumerate(gap):
        if len(each) and np.isfinite(each.min()):
            column = int(each.argmin())
            gap[:, column] = np.inf
            pairs.append((row, column))
    return pairs


def _check_others(
    ours: Find,
    image: np.ndarray,
    size: np.ndarray,
    wanted: Sequence[np.ndarray],
    given: Sequence[np.ndarray],
    pairs: list[tuple[int, int]],
) -> int:
    """Return how many detections without an equal rounding explains; refuse the others."""
    lost, extra = (
        sorted(set(range(len(found[1]))) - {pair[side] for pair in pairs}) for side, found in enumerate((wanted, given))
    )
    if not lost and not extra:
        return 0
    steady, known = set(lost), set()
    noise = np.random.default_rng(0)
    for _ in range(NUDGES):
        moved = image + NUDGE * np.abs(image).max() * noise.uniform(-1, 1, image.shape)
        found = ours(moved.astype(image.dtype), size)
        steady &= {row for row, _ in match(wanted, found)}
        known |= {row for row, _ in match(given, found)}
    wrong = [(wanted, row, 'only eager') for row in steady]
    wrong += [(given, row, 'only the file') for row in set(extra) - known]
    if wrong:
        found, row, who = max(wrong, key=lambda one: one[0][1][one[1]])
        raise FileDiffersError(
            f'{who} finds an object of class {int(found[2][row])} with score {float(found[1][row]):.4f}, and '
            f'{len(wrong)} of {len(wanted[1])} detections differ, more than rounding explains: nothing was written '
            '(a hardly trained model, whose scores are all alike, cannot be compared)'
        )
    return len(lost) + len(extra)


def _overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the overlap over the union of boxes (n, 4) and (m, 4): (n, m)."""
    sides = np.minimum(one[:, None, 2:], other[:, 2:]) - np.maximum(one[:, None, :2], other[:, :2])
    shared = sides.clip(0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (one, other)]
    union = areas[0][:, None] + areas[1] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
