"""Check masks: polygons and run lengths that pycocotools can draw, and that fit their picture and box.

pycocotools trusts its input: a coordinate of 1e9 or NaN takes all memory, a damaged run length crashes the process, an
RLE of another size is folded into the picture line by line, and a polygon of four numbers is drawn as a box.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import UNSET
from pycocotools import mask as pycoco

from mmsparseswin.detection.data_check.findings import Findings
from mmsparseswin.detection.data_check.schema import Annotation, Rle
from mmsparseswin.errors import few

_LONGEST_RUN = 7  # characters; five bits each, so that a run fits 35 bits


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
        self._wrong: list[tuple] = []
        self._wrong_at: list[int] = []  # indices
        self._parts_dropped = 0

    def look(self, index: int, ann: Annotation, width: int, height: int) -> None:
        """Check the mask of annotation number `index`, which lies on a picture of `width` x `height`."""
        mask = ann.segmentation
        if mask is UNSET or mask == []:
            self._missing[index] = ann.id
        elif isinstance(mask, Rle):
            self._look_at_rle(index, ann.id, mask, width, height)
        else:
            self._look_at_polygons(index, ann, width, height)
        if len(self._wrong) > len(self._wrong_at):
            self._wrong_at.append(index)

    def _look_at_polygons(self, index: int, ann: Annotation, width: int, height: int) -> None:
        parts = [part for part in ann.segmentation if len(part) >= 6]  # type: ignore[union-attr]
        slack = max(width, height)  # polygons of COCO leave the picture a little, amodal ones more
        left, top, right, bottom, area = np.inf, np.inf, -np.inf, -np.inf, 0.0
        for part in parts:
            xs, ys = part[::2], part[1::2]
            if len(xs) != len(ys):
                self._wrong.append((ann.id, f'a polygon of {len(part)} numbers, an odd count'))
                return
            low_x, low_y, high_x, high_y = min(xs), min(ys), max(xs), max(ys)
            # Not <, so that NaN fails; min and max may ignore a NaN, a sum does not.
            inside = low_x >= -slack and low_y >= -slack and high_x <= width + slack and high_y <= height + slack
            if not inside or sum(part) - sum(part) != 0:
                self._wrong.append((ann.id, 'polygon coordinates that are not finite or far beyond the picture'))
                return
            left, top, right, bottom = min(left, low_x), min(top, low_y), max(right, high_x), max(bottom, high_y)
            area += _polygon_area(xs, ys)
        if not parts:
            self._wrong.append((ann.id, 'polygons of fewer than three points'))
            return
        if len(parts) < len(ann.segmentation):  # type: ignore[arg-type]
            self._findings.change('annotations', index, segmentation=parts)
            ann.segmentation = parts
            self._parts_dropped += 1
        self.extents[index] = left, top, right - left, bottom - top
        self.areas[index] = area

    def _look_at_rle(self, index: int, number: object, mask: Rle, width: int, height: int) -> None:
        if mask.size != [height, width]:
            hint = ', width and height exchanged' if mask.size == [width, height] else ''
            self._wrong.append(
                (number, f'an RLE of size {mask.size} on a picture of [height, width] [{height}, {width}]{hint}')
            )
            return
        runs = _runs(mask.counts)
        if runs is None or (runs < 0).any() or runs.sum() != width * height:
            self._wrong.append(
                (number, f'an RLE whose counts are damaged: they must add up to {width * height} pixels')
            )
            return
        self.areas[index] = runs[1::2].sum()
        rle = {'size': mask.size, 'counts': mask.counts}
        self.extents[index] = pycoco.toBbox(
            pycoco.frPyObjects(rle, height, width) if isinstance(mask.counts, list) else rle
        )

    def report(self) -> None:
        """Add the results to the findings."""
        findings = self._findings
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
            for number, flaw in self._wrong[:1]:
                others = f'; {len(self._wrong)} such annotations: {few(n for n, _ in self._wrong)}'
                findings.refuse(
                    f'annotation {number} has {flaw}{others if len(self._wrong) > 1 else ""}; draw the mask anew or '
                    'leave the annotation out',
                    self._wrong_at,
                )
        elif self._wrong:
            findings.remark(
                f'{len(self._wrong)} masks are unusable, which this config does not use (annotation '
                f'{self._wrong[0][0]} has {self._wrong[0][1]})',
                self._wrong_at,
            )


def _polygon_area(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the area inside a polygon by the shoelace formula."""
    last_x, last_y, twice = xs[-1], ys[-1], 0.0
    for x, y in zip(xs, ys, strict=True):
        twice += last_x * y - x * last_y
        last_x, last_y = x, y
    return abs(twice) / 2


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
