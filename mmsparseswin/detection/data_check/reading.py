"""Read COCO annotation files: encodings, damaged JSON, values of a wrong type.

A file whose values all have the right types is decoded in one go. Any other is read a second time, record by record, to
name the wrong ones and to repair certain values.
"""

import codecs
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from mmsparseswin.detection.data_check.findings import Findings
from mmsparseswin.detection.data_check.schema import RECORDS, CocoFile, needed_fields
from mmsparseswin.errors import InputError

_WHOLE = msgspec.json.Decoder(CocoFile)
_WRONG = (msgspec.ValidationError, OverflowError, UnicodeEncodeError)  # UnicodeEncodeError: a lone surrogate in a text
_WRONG_TYPE = re.compile(r'(?P<what>.*?)(?: - at `\$\.?(?P<where>.*)`)?$', re.DOTALL)


def read_bytes(path: str, option: str) -> bytes:
    """Read the annotation file `path` that the config names at `option`.

    Raises:
        InputError: it does not exist or cannot be read.
    """
    if not os.path.isfile(path):
        raise InputError(f'{option}: no annotation file {path}; name it with --cfg-options {option}.ann_file=FILE')
    return Path(path).read_bytes()


def to_utf8(data: bytes, findings: Findings) -> bytes:
    """Return `data` as UTF-8 without byte order mark; other encodings of JSON are a repair.

    Raises:
        InputError: it is none of UTF-8, UTF-16 and UTF-32.
    """
    encoding = json.detect_encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f'annotation file {findings.path} is not {encoding.upper()} text ({error.reason} at byte {error.start}); '
            'save it as UTF-8'
        ) from None
    if encoding == 'utf-8':
        return data
    kind = 'UTF-8 with a byte order mark' if data.startswith(codecs.BOM_UTF8) else encoding.upper()
    findings.repaired(f'it is {kind}, read as such')
    return text.encode()


def parse(data: bytes, path: str) -> dict[str, Any]:
    """Parse UTF-8 JSON into builtins; NaN and Infinity, which other JSON readers refuse, become floats.

    Raises:
        InputError: not JSON, or not a COCO file at all.
    """
    try:
        content = json.loads(data)
    except RecursionError:
        raise InputError(f'annotation file {path} is not a COCO file: its lists are nested too deeply') from None
    except ValueError as error:
        raise InputError(f'annotation file {path} is not JSON: {error}') from None
    if not isinstance(content, dict):
        raise InputError(f'annotation file {path} holds a {type(content).__name__}, not the dict of a COCO file')
    return content


def read_coco(path: str, option: str) -> dict[str, list[dict[str, Any]]]:
    """Read images, annotations and categories unchanged, with all fields of each record.

    Raises:
        InputError: the file is missing, not JSON, or records lack fields or have values of a wrong type.
    """
    findings = Findings(path)
    data = to_utf8(read_bytes(path, option), findings)
    if decode(data, findings) is None:
        raise InputError(findings.errors[0])
    content = findings.apply(parse(data, path))
    return {section: content[section] for section in RECORDS}


def decode(data: bytes, findings: Findings, sections: Sequence[str] = tuple(RECORDS)) -> CocoFile | None:
    """Decode the UTF-8 bytes of a COCO file; None if records are of wrong types, which `findings` then names.

    Args:
        data: from :func:`to_utf8`.
        findings: gets errors and repairs.
        sections: the lists that the file must have; COCO's own test files have no annotations.

    Raises:
        InputError: not JSON, or a list is missing.
    """
    try:
        return _WHOLE.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        pass
    content = parse(data, findings.path)
    records = {section: _records(content, section, sections, findings) for section in RECORDS}
    return None if findings.errors else CocoFile(**records)


def _records(content: dict, section: str, sections: Sequence[str], findings: Findings) -> list:
    if section not in content and section not in sections:
        return []
    if not isinstance(content.get(section), list):
        raise InputError(
            f'annotation file {findings.path} has no list {section!r}; a COCO file has {", ".join(RECORDS)}'
        )
    kind, needed = RECORDS[section], needed_fields(section)
    found, mended = [], 0
    for index, record in enumerate(content[section]):
        if not isinstance(record, dict):
            findings.refuse(f'{section} entry number {index} is a {type(record).__name__}, not a dict')
            continue
        try:
            found.append(msgspec.convert(record, kind))
            continue
        except _WRONG:
            changes = _mend(record) if section == 'annotations' else {}
        lacking = [name for name in needed if name not in record and name not in changes]
        if lacking:
            findings.refuse(f'{section} entry {_name(record, index)} has no {" and no ".join(lacking)}')
            continue
        try:
            found.append(msgspec.convert({**record, **changes}, kind))
        except _WRONG as error:
            findings.refuse(f'{section} entry {_name(record, index)}: {_wrong_type(error)}')
            continue
        findings.change(section, index, **changes)
        mended += 1
    if mended:
        findings.repaired(
            f'{section}: {mended} records whose flags are missing or fractions, or whose polygons are not in a list '
            'or are lists of points, are read as COCO writes them'
        )
    return found


def _name(record: dict, index: int) -> str:
    name = str(record.get('id', record))[:40]
    return name if 'id' in record else f'number {index} ({name} ...)'


def _wrong_type(error: Exception) -> str:
    """Return msgspec's message as ``bbox[0]: expected `float`, got `null```, with what to do."""
    match = _WRONG_TYPE.match(str(error))
    assert match
    what, where = match['what'], match['where']
    text = what[:1].lower() + what[1:]
    return (f'{where}: {text}' if where else text) + '; correct the record or leave it out'


def _mend(record: dict[str, Any]) -> dict[str, Any]:
    """Return new values for fields of an annotation with a wrong type but a certain meaning."""
    changes: dict[str, Any] = {}
    if 'id' not in record or record['id'] is None:
        changes['id'] = 0  # ids.py gives a new number
    for name in ('iscrowd', 'ignore'):
        value = record.get(name, 0)
        if value is None or (isinstance(value, float) and value in (0.0, 1.0)):
            changes[name] = int(value or 0)
    polygons = record.get('segmentation', [])
    if polygons is None:
        changes['segmentation'] = []
    elif isinstance(polygons, list) and polygons:
        flat = _flat(polygons)
        if flat is not None:
            changes['segmentation'] = [flat]
        elif any(isinstance(part, list) and _flat(part) is not part for part in polygons):
            parts = [_flat(part) if isinstance(part, list) else None for part in polygons]
            if all(part is not None for part in parts):
                changes['segmentation'] = parts
    return changes


def _flat(polygon: list) -> list | None:
    """Return a polygon as [x, y, x, y, ...], from that or from a list of points [x, y]; None if it is neither."""
    if all(_is_number(value) for value in polygon):
        return polygon
    if all(isinstance(point, list) and len(point) == 2 and all(map(_is_number, point)) for point in polygon):
        return [value for point in polygon for value in point]
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
