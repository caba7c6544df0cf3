"""Check sizes of pictures, boxes, areas and flags; count the objects of each class that training and test use."""

from typing import Any

import numpy as np
from msgspec import UNSET, Struct

from mmsparseswin.detection.data_check.findings import Findings
from mmsparseswin.detection.data_check.masks import MaskCheck
from mmsparseswin.detection.data_check.schema import CocoFile, Rle
from mmsparseswin.errors import few

_LARGEST_PICTURE = 2**31  # pixels; pycocotools counts them in 32 bits
_FARTHEST = 1e7  # pixels
_SLACK = 1.0  # pixels by which boxes of COCO itself leave the picture, by rounding


class Objects(Struct):
    """Counts of the objects of one class, and of those that training ignores."""

    total: int = 0
    crowd: int = 0
    ignored: int = 0  # flag `ignore`
    tiny: int = 0  # narrower than a pixel
    left: int = 0  # used by training
    run_lengths: int = 0  # of these, with a mask as an RLE


def check_images(coco: CocoFile, findings: Findings) -> None:
    """Check names and sizes of the pictures."""
    wrong, large, named, whole = {}, {}, {}, 0  # index -> what is wrong
    for index, image in enumerate(coco.images):
        for field in ('width', 'height'):
            value = getattr(image, field)
            if isinstance(value, float) and value.is_integer():
                value = int(value)
                findings.change('images', index, **{field: value})
                setattr(image, field, value)
                whole += 1
            if not isinstance(value, int) or value < 1:
                wrong[index] = f'{image.id} ({field} {value})'
                break
        else:
            if image.width * image.height >= _LARGEST_PICTURE:
                large[index] = f'{image.id} ({image.width} x {image.height})'
        if not image.file_name or not image.file_name.isprintable():
            named[index] = str(image.id)
    if whole:
        findings.repaired(f'{whole} widths and heights are written with a fraction, .0')
    if wrong:
        findings.refuse(f'images {few(wrong.values())}: width and height must be whole numbers from 1 on; correct them')
    if large:
        findings.refuse(
            f'images {few(large.values())} have more than 2^31 pixels; correct width and height, or cut them'
        )
    if named:
        findings.refuse(f'images {few(named.values())} have no file_name that a file can have; correct it')
    names: dict[str, object] = {}
    twice = [name for name in (image.file_name for image in coco.images) if name in names or names.update({name: 1})]
    if twice:
        findings.remark(
            f'the pictures {few(twice)} are listed more than once; objects of one entry are missing in the other'
        )


def check_objects(
    coco: CocoFile, classes: tuple[str, ...], masks_needed: bool, findings: Findings
) -> dict[str, Objects]:
    """Check boxes, areas, flags and masks; `coco` has checked images, ids and categories.

    Returns:
        The objects of each class by its name.
    """
    count = len(coco.annotations)
    short = {index: ann.id for index, ann in enumerate(coco.annotations) if len(ann.bbox) != 4}
    if short:
        findings.refuse(f'the boxes of annotations {few(short.values())} are not [x, y, w, h]')
        return {}
    boxes = np.array([ann.bbox for ann in coco.annotations], dtype=np.float64).reshape(count, 4)
    areas = np.array([ann.area for ann in coco.annotations], dtype=np.float64)
    place = {image.id: index for index, image in enumerate(coco.images)}
    which = np.array([place[ann.image_id] for ann in coco.annotations], dtype=np.int64)
    sizes = np.array([(image.width, image.height) for image in coco.images], dtype=np.float64)[which]
    ids = np.array([ann.id for ann in coco.annotations], dtype=object)
    _check_boxes(boxes, sizes, ids, findings)
    crowd = _flags(coco, 'iscrowd', findings)
    ignored = _flags(coco, 'ignore', findings)
    if findings.errors:
        return {}
    masks = MaskCheck(count, masks_needed, findings)
    for index, (ann, (width, height)) in enumerate(zip(coco.annotations, sizes.astype(int).tolist(), strict=True)):
        masks.look(index, ann, width, height)
    masks.report()
    _check_areas(coco, boxes, areas, masks, findings)
    _compare_masks(boxes, masks, ids, findings)
    _check_copies(coco, findings)
    return _count(coco, classes, boxes, crowd, ignored)


def _check_boxes(boxes: np.ndarray, sizes: np.ndarray, ids: np.ndarray, findings: Findings) -> None:
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    with np.errstate(invalid='ignore'):
        broken = ~(np.abs(boxes) <= _FARTHEST).all(1)  # not >, so that NaN counts as broken
        negative = ~broken & (boxes[:, 2:] < 0).any(1)
        outside = ~broken & ~negative & ((low >= sizes) | (high <= 0)).any(1) & (boxes[:, 2:] > 0).all(1)
        beyond = ~broken & ~negative & ~outside & ((low < -_SLACK) | (high > sizes + _SLACK)).any(1)
        tiny = ~broken & ~negative & (boxes[:, 2:] < 1).any(1)
    if broken.any():
        findings.refuse(
            f'the boxes of annotations {few(ids[broken])} hold NaN or numbers beyond 1e7; correct or leave them out',
            np.flatnonzero(broken),
        )
    if negative.any():
        findings.refuse(
            f'the boxes of annotations {few(ids[negative])} have a negative width or height; a box is [x, y, width, '
            'height]',
            np.flatnonzero(negative),
        )
    if outside.any():
        findings.refuse(
            f'the boxes of annotations {few(ids[outside])} lie outside their picture; they may belong to another size '
            'of it: correct or leave them out',
            np.flatnonzero(outside),
        )
    if beyond.any():
        findings.remark(f'boxes of annotations {few(ids[beyond])} reach beyond their image', np.flatnonzero(beyond))
    if tiny.any():
        findings.remark(
            f'boxes of annotations {few(ids[tiny])} are narrower than one pixel: training leaves them out, the '
            'evaluation counts them',
            np.flatnonzero(tiny),
        )


def _flags(coco: CocoFile, name: str, findings: Findings) -> np.ndarray:
    """Return the flag `name` of all annotations, (N,) bool; COCO's evaluators need ``iscrowd`` as a number."""
    found, wrong, mended = np.zeros(len(coco.annotations), bool), [], 0
    for index, ann in enumerate(coco.annotations):
        value = getattr(ann, name)
        if value is UNSET or isinstance(value, bool):
            if name == 'iscrowd':
                findings.change('annotations', index, iscrowd=int(value is True))
                mended += 1
            value = value is True
        elif value not in (0, 1):
            wrong.append(f'{ann.id} ({value})')
        found[index] = bool(value)
    if wrong:
        findings.refuse(f'the flag {name} of annotations {few(wrong)} is neither 0 nor 1; correct it')
    if mended:
        findings.repaired(f'{mended} annotations have no number as iscrowd: 0 where it is missing')
    return found


def _check_areas(coco: CocoFile, boxes: np.ndarray, areas: np.ndarray, masks: MaskCheck, findings: Findings) -> None:
    ids = np.array([ann.id for ann in coco.annotations], dtype=object)
    with np.errstate(invalid='ignore'):
        wrong = ~(areas >= 0) | np.isinf(areas)
    if wrong.any():
        findings.refuse(
            f'the areas of annotations {few(ids[wrong])} are negative, NaN or infinite; correct them',
            np.flatnonzero(wrong),
        )
        return
    box_areas = boxes[:, 2] * boxes[:, 3]
    right = np.where(masks.areas > 0, np.minimum(masks.areas, box_areas), box_areas)
    # A rounded area may exceed the box by the length of its outline.
    impossible = (areas > 1.05 * box_areas + boxes[:, 2] + boxes[:, 3] + 1) | ((areas == 0) & (box_areas > 0))
    for index in np.flatnonzero(impossible):
        value = round(float(right[index]), 2)
        findings.change('annotations', int(index), area=value)
        coco.annotations[index].area = value
    if impossible.any():
        findings.repaired(
            f'the areas of annotations {few(ids[impossible])} are 0 or larger than the box; computed anew from the '
            'mask, or from the box where there is none',
            np.flatnonzero(impossible),
        )
    with np.errstate(invalid='ignore'):
        apart = ~impossible & (np.abs(areas - masks.areas) > 0.1 * masks.areas + boxes[:, 2] + boxes[:, 3])
    if apart.any():
        findings.remark(
            f'the areas of annotations {few(ids[apart])} are not those of their masks; mAP by size goes by them',
            np.flatnonzero(apart),
        )
    # Files of boxes have width x height as area; where nearly all do, another value is a mistake.
    plain = np.isclose(areas, box_areas, rtol=0.02, atol=1.0)
    if not np.isfinite(masks.areas).any() and 0 < (~plain & ~impossible).sum() < 0.2 * len(areas):
        findings.remark(
            f'the areas of annotations {few(ids[~plain & ~impossible])} are not width x height, as the others are',
            np.flatnonzero(~plain & ~impossible),
        )


def _compare_masks(boxes: np.ndarray, masks: MaskCheck, ids: np.ndarray, findings: Findings) -> None:
    box_ends = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    mask_ends = np.concatenate([masks.extents[:, :2], masks.extents[:, :2] + masks.extents[:, 2:]], 1)
    allowed = 1.5 + 0.02 * np.tile(boxes[:, 2:], 2)
    with np.errstate(invalid='ignore'):
        apart = (np.abs(box_ends - mask_ends) > allowed).any(1)
    if apart.any():
        findings.remark(
            f'the boxes of annotations {few(ids[apart])} are not the extents of their masks', np.flatnonzero(apart)
        )


def _check_copies(coco: CocoFile, findings: Findings) -> None:
    seen: set[tuple] = set()
    copies = {}
    for index, ann in enumerate(coco.annotations):
        key = (ann.image_id, ann.category_id, *ann.bbox)
        if key in seen:
            copies[index] = ann.id
        seen.add(key)
    if copies:
        findings.remark(
            f'annotations {few(copies.values())} repeat the box and class of another one: no detector can find both',
            copies,
        )


def _count(
    coco: CocoFile, classes: tuple[str, ...], boxes: np.ndarray, crowd: np.ndarray, ignored: np.ndarray
) -> dict[str, Objects]:
    """Count the objects that mmdet's CocoDataset keeps: no ignored, tiny or (later, in the loss) crowd object."""
    tiny = (boxes[:, 2:] < 1).any(1)
    left = np.logical_not(crowd | ignored | tiny)
    run_lengths = left & np.array([isinstance(ann.segmentation, Rle) for ann in coco.annotations], bool)
    label = {name: index for index, name in enumerate(classes)}
    label_of_id = {category.id: label.get(category.name, len(classes)) for category in coco.categories}
    labels = np.array([label_of_id[ann.category_id] for ann in coco.annotations], dtype=np.int64)

    def per_class(chosen: Any) -> list[int]:
        return np.bincount(labels[chosen], minlength=len(classes) + 1).tolist()

    columns = (per_class(chosen) for chosen in (np.full(len(labels), True), crowd, ignored, tiny, left, run_lengths))
    return {name: Objects(*numbers) for name, numbers in zip(classes, zip(*columns, strict=True), strict=False)}
