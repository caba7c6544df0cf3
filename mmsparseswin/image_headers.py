"""What a picture file says about itself: damage, size, orientation, depth."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from PIL import Image

# Signature and end mark. A JPEG's mark cannot occur inside its data, where every 0xff is followed by 0x00.
_END_MARKS = ((b'\xff\xd8', b'\xff\xd9'), (b'\x89PNG', b'IEND'))
_TAIL = 512  # how many of the last bytes to search: some cameras write zeros behind the mark
_LARGEST = 2**30  # pixels that OpenCV reads
_ORIENTATION = 0x0112  # EXIF tag


class Header(NamedTuple):
    """What the header of a picture file says."""

    size: tuple[int, int]  # width, height as stored
    turned: int  # EXIF orientation, 1 to 8; 5 to 8 exchange width and height
    deep: bool  # more than 8 bits a channel


@contextmanager
def _without_bomb_guard() -> Iterator[None]:
    """Let Pillow open a picture of more than 179 megapixels, which it takes for an attack."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def find_damage(data: bytes) -> str | None:
    """Return what is wrong with the bytes of a picture file, or None. Decodes only what no cheaper look can clear."""
    if not data:
        return 'the file is empty'
    if any(data.startswith(signature) and mark in data[-_TAIL:] for signature, mark in _END_MARKS):
        return None
    if data[:4] == b'RIFF' and len(data) >= 8 + int.from_bytes(data[4:8], 'little'):  # WebP says its length
        return None
    try:
        with _without_bomb_guard(), Image.open(io.BytesIO(data)) as image:
            if image.width * image.height >= _LARGEST:
                return f'{image.width} x {image.height} are more pixels than OpenCV reads (2^30); cut it into tiles'
            image.load()
    except Exception as error:  # Pillow raises OSError, SyntaxError, struct.error and others, one per decoder
        return str(error)
    return None


def read_header(source: object) -> Header | None:
    """Read the header of a picture, a path or binary file; None if it has none that Pillow knows."""
    try:
        with _without_bomb_guard(), Image.open(source) as image:  # type: ignore[arg-type]
            # Pillow opens 16-bit colour as 8-bit RGB; how a tile is stored tells (RGB;16B). A BMP's BGR;16 is a pixel.
            stored = str(image.tile[0]) if image.tile and image.format != 'BMP' else ''
            deep = image.mode.startswith(('I', 'F')) or ';16' in stored or ';32' in stored
            turned = image.getexif().get(_ORIENTATION, 1)  # last: of a PNG it reads the whole file
            return Header(image.size, turned if turned in range(1, 9) else 1, deep)
    except Exception:  # one kind per decoder, as above; the loader names the damage
        return None


def size_mismatch(path: str, size: tuple[int, int], said: tuple[int, int], source: str) -> str:
    """Return the error line for a picture of another `size` (width, height) than `source` says."""
    hint = ' (width and height exchanged)' if size == said[::-1] else ''
    return (
        f'image {path} is {size[0]} x {size[1]} pixels, but {source} says {said[0]} x {said[1]}{hint}: its boxes would '
        'lie elsewhere; correct width and height, or use the pictures that were labelled'
    )
