"""Check masks: polygons and run lengths that pycocotools can draw, and that fit their picture and box.

pycocotools trusts its input: a coordinate of 1e9 or NaN takes all memory, a damaged run length crashes the process, an
RLE of another size is folded into the picture line by line, and a polygon of four numbers is drawn as a box.
"""

from itertools import chain
from typing import NamedTuple

import numpy as np
from msgspec import UNSET
from pycocotools import mask as pycoco

from mmsparseswin.detection.data_check.findings import Findings
from mmsparseswin.detection.data_check.schema import Annotation, Rle
from mmsparseswin.errors import few

_LONGEST_RUN = 7  # characters; five bits each, so that a run fits 35 bits
_AT_ONCE = 2**20  # numbers of polygons that are measured together


class _Polygons(NamedTuple):
    """Mask of annotation `number` on a picture of `width` x `height`; `parts` can be drawn."""

    number: int
    ann: Annotation
    parts: list[list[float]]
    width: int
    height: int


class MaskCheck:
    """Check the masks of a file one by one and report at the end.

    Args:
        needed: masks are trained on or scored. Without, a wrong mask is only mentioned.

    Attributes:
        extents: (N, 4) float64, [x, y, width, height] of each mask; NaN where there is none.
        areas: (N,) float64, pixels of each mask; NaN where there is none.
    """

    def __init__(self, count: int, needed: bool, findings: Findings) -> None:
        self.extents = np.full((count, 4), np.nan)
        self.areas = np.full(count, np.nan)
        self._needed, self._findings = needed, findings
        self._missing: dict[int, object] = {}  # index -> id
        self._wrong: dict[int, tuple[object, str]] = {}  # index -> id, what is wrong
        self._parts_dropped = 0
        self._waiting: list[_Polygons] = []  # not measured yet
        self._waiting_numbers = 0

    def look(self, index: int, ann: Annotation, width: int, height: int) -> None:
        """Check the mask of annotation number `index`, which lies on a picture of `width` x `height`."""
        mask = ann.segmentation
        if mask is UNSET or mask == []:
            self._missing[index] = ann.id
        elif isinstance(mask, Rle):
            self._look_at_rle(index, ann.id, mask, width, height)
        else:
            self._look_at_polygons(index, ann, width, height)

    def _look_at_polygons(self, index: int, ann: Annotation, width: int, height: int) -> None:
        parts = [part for part in ann.segmentation if len(part) >= 6]  # type: ignore[union-attr]
        if not parts:
            self._wrong[index] = ann.id, 'polygons of fewer than three points'
            return
        for part in parts:
            if len(part) % 2:
                self._wrong[index] = ann.id, f'a polygon of {len(part)} numbers, an odd count'
                return
            self._waiting_numbers += len(part)
        self._waiting.append(_Polygons(index, ann, parts, width, height))
        if self._waiting_numbers > _AT_ONCE:
            self._measure_polygons()

    def _measure_polygons(self) -> None:
        """Measure the polygons that wait, all at once: one by one takes twice the time of reading the file."""
        waiting, self._waiting, self._waiting_numbers = self._waiting, [], 0
        if not waiting:
            return
        parts = [part for one in waiting for part in one.parts]
        points = np.fromiter(chain.from_iterable(parts), np.float64).reshape(-1, 2)
        lengths = np.array([len(part) // 2 for part in parts])
        firsts = np.array([0, *(len(one.parts) for one in waiting[:-1])]).cumsum()  # of the parts of each mask
        with np.errstate(invalid='ignore', over='ignore'):  # NaN spreads and fails the comparisons below
            low, high, areas = _measure(points, lengths)
            low, high = np.minimum.reduceat(low, firsts), np.maximum.reduceat(high, firsts)
            areas = np.add.reduceat(areas, firsts)
            sizes = np.array([(one.width, one.height) for one in waiting], np.float64)
            # Polygons of COCO leave the picture a little, amodal ones more.
            slack = sizes.max(1, keepdims=True)
            inside = ((low >= -slack) & (high <= sizes + slack)).all(1)
        indices = np.array([one.number for one in waiting])
        self.extents[indices[inside]] = np.concatenate([low, high - low], 1)[inside]
        self.areas[indices[inside]] = areas[inside]
        for one, is_inside in zip(waiting, inside.tolist(), strict=True):
            if not is_inside:
                flaw = 'polygon coordinates that are not finite or far beyond the picture'
                self._wrong[one.number] = one.ann.id, flaw
            elif len(one.parts) < len(one.ann.segmentation):  # type: ignore[arg-type]
                self._findings.change('annotations', one.number, segmentation=one.parts)
                one.ann.segmentation = one.parts
                self._parts_dropped += 1

    def _look_at_rle(self, index: int, number: object, mask: Rle, width: int, height: int) -> None:
        if mask.size != [height, width]:
            hint = ', width and height exchanged' if mask.size == [width, height] else ''
            self._wrong[index] = (
                number,
                f'an RLE of size {mask.size} on a picture of [height, width] [{height}, {width}]{hint}',
            )
            return
        runs = _runs(mask.counts)
        if runs is None or (runs < 0).any() or runs.sum() != width * height:
            self._wrong[index] = (
                number,
                f'an RLE whose counts are damaged: they must add up to {width * height} pixels',
            )
            return
        self.areas[index] = runs[1::2].sum()
        rle = {'size': mask.size, 'counts': mask.counts}
        self.extents[index] = pycoco.toBbox(
            pycoco.frPyObjects(rle, height, width) if isinstance(mask.counts, list) else rle
        )

    def report(self) -> None:
        """Add the results to the findings."""
        self._measure_polygons()
        findings, wrong = self._findings, dict(sorted(self._wrong.items()))
        if self._parts_dropped:
            findings.repaired(
                f'polygons of fewer than three points, parts of {self._parts_dropped} masks, are left out'
            )
        if self._needed:
            if self._missing:
                findings.refuse(
                    f'annotations {few(self._missing.values())} have no segmentation, but this config uses masks; add '
                    'them, or train boxes only: a detector without mask head, with_mask=False of LoadAnnotations, '
                    "metric='bbox'",
                    self._missing,
                )
            for number, flaw in list(wrong.values())[:1]:
                others = f'; {len(wrong)} such annotations: {few(n for n, _ in wrong.values())}'
                findings.refuse(
                    f'annotation {number} has {flaw}{others if len(wrong) > 1 else ""}; draw the mask anew or '
                    'leave the annotation out',
                    wrong,
                )
        elif wrong:
            number, flaw = next(iter(wrong.values()))
            findings.remark(
                f'{len(wrong)} masks are unusable, which this config does not use (annotation {number} has {flaw})',
                wrong,
            )


def _measure(points: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the corners (N, 2) with least and greatest x and y, and the areas (N,), of N polygons.

    Args:
        points: (sum of lengths, 2), the points of all polygons one after the other.
        lengths: (N,), how many each has.
    """
    ends = lengths.cumsum()
    starts = ends - lengths
    following = np.arange(1, len(points) + 1)
    following[ends - 1] = starts  # a polygon is closed
    other = points[following]
    cross = points[:, 0] * other[:, 1] - points[:, 1] * other[:, 0]  # shoelace formula
    areas = np.abs(np.add.reduceat(cross, starts)) / 2
    return np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts), areas


def _runs(counts: str | list[int]) -> np.ndarray | None:
    """Return the run lengths, background first, of an RLE's counts, (n,) int64; None if they cannot be read.

    Compressed text holds each run minus the one two places before it, from the fourth on, in groups of five bits, the
    lowest first; bit 5 says that more follow, and the highest bit of the last group is the sign.
    """
    if not isinstance(counts, str):
        try:
            return np.array(counts, dtype=np.int64)
        except OverflowError:
            return None
    if not counts.isascii():
        return None
    codes = np.frombuffer(counts.encode(), dtype=np.uint8).astype(np.int64) - 48
    if not len(codes) or (codes < 0).any() or (codes > 63).any() or codes[-1] & 32:
        return None
    ends = np.flatnonzero(codes & 32 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _LONGEST_RUN:
        return None
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, lengths))
    runs = np.add.reduceat((codes & 31) << shifts, starts)
    runs -= np.where(codes[ends] & 16, 1 << (5 * lengths), 0)
    for first in (1, 2):
        runs[first::2] = np.cumsum(runs[first::2])
    return runs
