"""Compare picture files with an annotation file: existence, size, orientation, 8 bits."""

import os
import random

from mmsparseswin.detection.data_check.findings import Marked
from mmsparseswin.errors import few
from mmsparseswin.image_headers import read_header, size_mismatch

_ALL = 2000  # sets up to this size are checked completely
_SAMPLE = 500  # pictures checked of a larger set


def check_sizes(
    pictures: list[tuple[str, int, int]], folder: str, source: str
) -> tuple[list[str], list[str], list[Marked]]:
    """Compare the headers of picture files with what an annotation file says, a sample of large sets.

    Args:
        pictures: file name, width, height of each.
        folder: where the files are.
        source: the annotation file, for messages.

    Returns:
        Errors and notes, one line each, and the pictures they are about.
    """
    chosen = pictures if len(pictures) <= _ALL else random.Random(0).sample(pictures, _SAMPLE)
    wrong, turned, mirrored, deep = [], [], [], []
    for name, width, height in chosen:
        header = read_header(os.path.join(folder, name))
        if header is None:
            continue
        exchanged = header.size[::-1]
        if header.size != (width, height) and not (header.turned >= 5 and exchanged == (width, height)):
            wrong.append((name, header, (width, height)))
        elif header.turned >= 5:
            turned.append(name)
        elif header.turned > 1:
            mirrored.append(name)
        if header.deep:
            deep.append(name)
    share = '' if len(chosen) == len(pictures) else f' of the {len(chosen)} looked at'
    errors = []
    if wrong:
        errors.append(
            size_mismatch(os.path.join(folder, wrong[0][0]), wrong[0][1].size, wrong[0][2], source)
            + (f'; {len(wrong)} such images{share}: {few(name for name, *_ in wrong)}' if len(wrong) > 1 else '')
        )
    notes = []
    if turned:
        notes.append(
            f'{len(turned)} images{share} are turned by their EXIF data ({few(turned)}): each is read upright or as '
            f'stored, as the width and height in {source} tell'
        )
    if mirrored:
        notes.append(
            f'{len(mirrored)} images{share} are mirrored or upside down by their EXIF data ({few(mirrored)}): read '
            'upright, as labelling tools show them'
        )
    if deep:
        notes.append(
            f'{len(deep)} images{share} have 16 bits or more a channel ({few(deep)}): they are read as 8 bits by '
            'dropping the low ones; if they look nearly black then, scale them to 8 bits first'
        )
    place = {name: index for index, (name, *_) in enumerate(pictures)}
    lists = (
        ('the file has another width and height', [name for name, *_ in wrong]),
        ('turned by EXIF data', turned),
        ('mirrored or upside down by EXIF data', mirrored),
        ('16 bits or more a channel', deep),
    )
    marked = [Marked(text, 'images', [place[name] for name in names[:100]]) for text, names in lists if names]
    return errors, notes, marked
