"""Files that users give: only pictures and videos of bounded size get further, refusals are in words."""

import shutil
from pathlib import Path

from mmsparseswin.errors import InputError
from mmsparseswin.image_files import EXTENSIONS
from mmsparseswin.image_headers import find_damage, read_header

MOST_BYTES = 20 * 2**20
_MOST_PIXELS = 24_000_000  # a photograph of today's cameras


def check_picture(path: Path) -> None:
    """Check that a picture can be read and is not too large.

    Raises:
        InputError: it says why not.
    """
    name = path.name
    if path.suffix.lower() not in EXTENSIONS:
        raise InputError(f'{name} is no picture by its name: use one of {", ".join(sorted(EXTENSIONS))}')
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise InputError(f'{name} has {size / 2**20:.0f} MiB: use a picture of at most {MOST_BYTES // 2**20}')
    header = read_header(path)
    if header is None:
        damage = find_damage(path.read_bytes(), decode=True)
        raise InputError(f'{name} is no picture that can be read ({damage}): choose another')
    if refusal := header.refusal():
        raise InputError(f'{name}: {refusal}')
    if header.size[0] * header.size[1] > _MOST_PIXELS:
        raise InputError(
            f'{name} has {header.size[0]} x {header.size[1]} pixels, more than {_MOST_PIXELS // 1_000_000} '
            'megapixels: make it smaller, or use `mmsparseswin predict`'
        )
    if damage := find_damage(path.read_bytes()):
        raise InputError(f'{name} is damaged ({damage}): copy it again, or choose another')


def keep_own(path: Path, folder: Path) -> Path:
    """Copy a file into the folder of its session, in the place of the one before, and return the copy.

    The folder of uploads is shared, and its files go when they are old, not when their session ends.
    """
    kept = folder / 'given' / path.name
    shutil.rmtree(kept.parent, ignore_errors=True)
    kept.parent.mkdir(parents=True)
    shutil.copyfile(path, kept)
    return kept
