"""Find and read the images of a command line: files, and folders searched recursively."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mmsparseswin.errors import InputError, few
from mmsparseswin.image_headers import DEEP, find_damage, read_header

_LARGEST_DRAWING = 2**26  # pixels; matplotlib takes about 56 bytes for each
EXTENSIONS = {'.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif', '.tiff', '.webp'}


class Job(NamedTuple):
    """Path of one image, its name below the output folder, and its width and height once its header has been read.

    Of an image in memory `path` is a name only, and its pixels are here.
    """

    path: Path
    name: Path
    size: tuple[int, int] | None = None
    pixels: Any = None  # (H, W, 3) uint8 in the order BGR

    @property
    def picture(self) -> Path:
        """Name of a picture drawn for it: its own, but .pgm holds no colours and becomes .pgm.png."""
        return self.name.with_name(self.name.name + '.png') if self.name.suffix.lower() == '.pgm' else self.name

    @property
    def is_large(self) -> bool:
        """True if drawing on it would take too much memory."""
        return self.size is not None and self.size[0] * self.size[1] > _LARGEST_DRAWING


def find_images(inputs: list[str], drawn: Path | None = None) -> list[Job]:
    """Return the images that `inputs` name, those of a folder sorted by file name, each once.

    The name of a file is its file name, and that of a file below a folder is its path below it. If two of them have one
    name, all names are paths below the deepest folder that holds all images: a/1.jpg and b/1.jpg.

    Args:
        inputs: files, and folders, which are searched to the bottom.
        drawn: where pictures will be drawn; what a folder holds below it is left out, for it was drawn before.

    Raises:
        InputError: nothing at a path, a folder without images, an image that lies in `drawn`, or a.pgm and a.pgm.png.
    """
    jobs: dict[str, Job] = {}  # by absolute path
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            files = [file for file in path.rglob('*') if not _below(file, drawn)]
            found = [file for file in files if file.suffix.lower() in EXTENSIONS]
            _name_others(path, files)
            if not found:
                raise InputError(f'no image in the folder {path} (looked for {" ".join(sorted(EXTENSIONS))})')
            new = [Job(file, file.relative_to(path)) for file in sorted(found)]
        elif path.is_file():
            if _below(path, drawn):
                raise InputError(f'{path} lies in {drawn}, where pictures are drawn; choose another --out-dir')
            new = [Job(path, Path(path.name))]
        else:
            raise InputError(f'no image or folder at {path}')
        for job in new:
            jobs.setdefault(os.path.abspath(job.path), job)
    if len({job.picture for job in jobs.values()}) < len(jobs):
        shared = os.path.commonpath([os.path.dirname(path) for path in jobs])
        jobs = {path: Job(job.path, Path(os.path.relpath(path, shared))) for path, job in jobs.items()}
    first: dict[Path, Path] = {}
    for job in jobs.values():
        if first.setdefault(job.picture, job.path) != job.path:
            raise InputError(f'{first[job.picture]} and {job.path} would be one picture; predict them in two runs')
    return list(jobs.values())


def _name_others(folder: Path, files: list[Path]) -> None:
    """Say on stderr how many files of each kind in `folder` are passed over; hidden ones are not counted."""
    others = [file for file in files if file.suffix.lower() not in EXTENSIONS and file.is_file()]
    kinds = Counter(file.suffix.lower() or 'without extension' for file in others if not file.name.startswith('.'))
    if kinds:
        counts = few(f'{count} {kind}' for kind, count in kinds.most_common())
        print(f'{folder}: passed over {counts}; pictures are {" ".join(sorted(EXTENSIONS))}', file=sys.stderr)


def _below(path: Path, folder: Path | None) -> bool:
    return folder is not None and Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))


def batches(jobs: list[Job], size: int) -> Iterator[list[Job]]:
    """Yield batches of readable images, each of one folder, a large one alone; report unreadable ones on stderr."""
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
            print(f'{job.path} {DEEP}', file=sys.stderr)
        job = job._replace(size=header and header.size)
        full = len(batch) == size or any(one.is_large for one in (*batch, job))
        if batch and (full or batch[0].name.parent != job.name.parent):
            yield batch
            batch = []
        batch.append(job)
    if batch:
        yield batch


def can_be_drawn(batch: list[Job]) -> bool:
    """Return True if all images of `batch` are small enough to draw predictions on; name the others on stderr."""
    large = [job.path for job in batch if job.is_large]
    for path in large:
        print(f'{path} has more than {_LARGEST_DRAWING:,} pixels: predicted, but not drawn', file=sys.stderr)
    return not large
