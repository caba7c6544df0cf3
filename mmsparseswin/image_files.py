"""Find and read the images of a command line: files, and folders searched recursively."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mmsparseswin.errors import InputError
from mmsparseswin.image_headers import find_damage, read_header

_LARGEST_DRAWING = 2**26  # pixels; matplotlib takes about 56 bytes for each
_EXTENSIONS = {'.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif', '.tiff', '.webp'}


class Job(NamedTuple):
    """Path of one image, and its name below the output folder."""

    path: Path
    name: Path


def find_images(inputs: list[str]) -> list[Job]:
    """Return the images that `inputs` name, those of a folder sorted by file name."""
    jobs = []
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            found = sorted(file for file in path.rglob('*') if file.suffix.lower() in _EXTENSIONS)
            if not found:
                raise InputError(f'no image in the folder {path} (looked for {" ".join(sorted(_EXTENSIONS))})')
            jobs += [Job(file, file.relative_to(path)) for file in found]
        elif path.is_file():
            jobs.append(Job(path, Path(path.name)))
        else:
            raise InputError(f'no image or folder at {path}')
    first: dict[Path, Path] = {}
    for job in jobs:
        if first.setdefault(job.name, job.path) != job.path:
            raise InputError(
                f'{first[job.name]} and {job.path} would be written to the same picture; predict them in two runs'
            )
    return jobs


def batches(jobs: list[Job], size: int) -> Iterator[list[Job]]:
    """Yield batches of readable images, each of one folder; report unreadable ones on stderr."""
    batch: list[Job] = []
    for job in jobs:
        header = read_header(job.path)
        if refusal := header and header.refusal():  # before its pixels are decoded
            print(f'skipped image {job.path}: {refusal}', file=sys.stderr)
            continue
        try:
            damage = find_damage(job.path.read_bytes())
        except OSError as error:
            damage = error.strerror
        if damage:
            print(f'skipped corrupt image {job.path}: {damage}', file=sys.stderr)
            continue
        if header and header.deep:
            print(f'{job.path} has 16 bits or more a channel: read as 8 bits by dropping the low ones', file=sys.stderr)
        if batch and (len(batch) == size or batch[0].name.parent != job.name.parent):
            yield batch
            batch = []
        batch.append(job)
    if batch:
        yield batch


def can_be_drawn(batch: list[Job]) -> bool:
    """Return True if all images of `batch` are small enough to draw predictions on; name the others on stderr."""
    headers = {job.path: read_header(job.path) for job in batch}
    large = [path for path, header in headers.items() if header and header.size[0] * header.size[1] > _LARGEST_DRAWING]
    for path in large:
        print(f'{path} has more than {_LARGEST_DRAWING:,} pixels: predicted, but not drawn', file=sys.stderr)
    return not large
