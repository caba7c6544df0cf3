"""Define the fields of a COCO file that detectors and evaluators read, and their types.

msgspec decodes a file of 860,000 annotations straight into these classes in seconds and names the first wrong value.
Fields that are not listed here are neither read nor checked; a repaired copy keeps them.
"""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

Number = int | float
Id = int | float | str  # ids.py renumbers texts and fractions
Flag = int | bool | UnsetType


class Image(Struct, gc=False):
    """A picture: its name below the image folder and its size in pixels."""

    id: Id
    file_name: str
    width: Number
    height: Number


class Rle(Struct, gc=False):
    """A mask as run lengths, column by column; ``counts`` is a list of numbers or COCO's compressed text."""

    size: list[int]  # [height, width]
    counts: str | list[int]


class Annotation(Struct, gc=False):
    """An object: ``bbox`` is [x, y, width, height] in pixels, ``segmentation`` a list of polygons or an RLE."""

    id: Id
    image_id: Id
    category_id: Id
    bbox: list[float]
    area: float
    iscrowd: Flag = UNSET
    ignore: Flag = UNSET
    segmentation: list[list[float]] | Rle | UnsetType = UNSET


class Category(Struct, gc=False):
    """A class of objects."""

    id: Id
    name: str


class CocoFile(Struct, gc=False):
    """A whole annotation file."""

    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category]


RECORDS: dict[str, Any] = {'images': Image, 'annotations': Annotation, 'categories': Category}


def needed_fields(section: str) -> list[str]:
    """Return the fields that every record of `section` must have."""
    kind = RECORDS[section]
    defaults = len(kind.__struct_defaults__)
    return list(kind.__struct_fields__[: len(kind.__struct_fields__) - defaults])
