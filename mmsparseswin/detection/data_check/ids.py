"""Check ids: unique whole numbers that evaluators accept, and references to existing records.

Evaluators mark a matched object by its annotation id, so that 0 and texts count as unmatched; image ids go through
numpy. An id is only a name, so renumbering is certain as long as every reference leads to one record.
"""

import math
import re
from collections import Counter
from typing import Any

from mmsparseswin.detection.data_check.findings import Findings
from mmsparseswin.detection.data_check.schema import Annotation, CocoFile
from mmsparseswin.errors import few

_WHOLE_NUMBER = re.compile(r'0|-?[1-9]\d{0,17}')
_LARGEST = 2**53  # faster-coco-eval keeps ids as doubles


def check_ids(coco: CocoFile, findings: Findings) -> None:
    """Check the ids of `coco` and repair them where the right value is certain, in its records too."""
    images = _number(coco.images, 'images', findings)
    categories = _number(coco.categories, 'categories', findings)
    if findings.errors:
        return
    _refer(coco.annotations, 'image_id', images, 'are for images it does not list', findings)
    _refer(coco.annotations, 'category_id', categories, 'have categories it does not list', findings)
    if not findings.errors:
        _number_annotations(coco.annotations, findings)


def _key(value: Any) -> Any:
    """Return the whole number that an id means (5, 5.0, '5'), else the id itself."""
    if isinstance(value, str):
        return int(value) if _WHOLE_NUMBER.fullmatch(value) else value
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    return value


def _number(records: list, section: str, findings: Findings) -> dict[Any, int]:
    """Return the final id of each record by its present one; texts that are no numbers are renumbered from 1."""
    keys = [record.id if type(record.id) is int else _key(record.id) for record in records]
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        findings.refuse(f'{section} share the ids {few(twice)}; ids must be unique')
        return {}
    fits = all(isinstance(key, int) and abs(key) < _LARGEST for key in keys)
    final = dict(zip(keys, keys if fits else range(1, len(keys) + 1), strict=True))
    changed = 0
    for index, (key, record) in enumerate(zip(keys, records, strict=True)):
        if type(record.id) is not int or record.id != final[key]:
            findings.change(section, index, id=final[key], original_id=record.id)
            record.id = final[key]
            changed += 1
    if changed:
        how = 'are read as the numbers they mean' if fits else f'are numbered 1 to {len(keys)} in the order of the file'
        findings.repaired(
            f'{changed} ids of {section} are no whole numbers up to 2^53 and {how}; predictions keep the original'
        )
    return final


def _refer(annotations: list[Annotation], field: str, final: dict, complaint: str, findings: Findings) -> None:
    lost = []
    for index, ann in enumerate(annotations):
        value = getattr(ann, field)
        if type(value) is int and final.get(value) == value:
            continue
        new = final.get(_key(value))
        if new is None:
            lost.append(ann.id)
        elif type(value) is not int or value != new:
            findings.change('annotations', index, **{field: new})
            findings.rewrite = True
            setattr(ann, field, new)
    if lost:
        findings.refuse(f'annotations {few(lost)} {complaint}; correct {field} or leave them out')


def _number_annotations(annotations: list[Annotation], findings: Findings) -> None:
    ids = [ann.id for ann in annotations]
    wrong = [value for value in ids if type(value) is not int or not 1 <= value <= _LARGEST]
    shared = {value for value, count in Counter(ids).items() if count > 1}
    if shared:
        same = Counter((a.id, a.image_id, a.category_id, *a.bbox) for a in annotations if a.id in shared)
        if copies := [key[0] for key, count in same.items() if count > 1]:
            findings.refuse(f'annotations share the ids {few(copies)} and the box; leave the copies out')
            return
    elif not wrong:
        return
    for index, ann in enumerate(annotations):
        if ann.id != index + 1 or type(ann.id) is not int:
            findings.change('annotations', index, id=index + 1)
            ann.id = index + 1
    reason = f'{len(wrong)} are not whole numbers from 1 on' if wrong else f'{len(shared)} are given more than once'
    findings.repaired(f'annotation ids: {reason}; evaluators miss such objects, so all are numbered 1 to {len(ids)}')
