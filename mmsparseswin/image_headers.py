"""Read headers of picture files: damage, size, orientation, depth."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from PIL import Image

# Signature and end mark. A JPEG's mark cannot occur inside its data, where every 0xff is followed by 0x00.
_END_MARKS = ((b'\xff\xd8', b'\xff\xd9'), (b'\x89PNG', b'IEND'))
_TAIL = 512  # bytes to search for the mark: some cameras write zeros behind it
_LARGEST = 2**30  # pixels that OpenCV reads
_MOST = 2**28  # pixels of a picture to predict: 0.8 GB as 8-bit colour
_THINNEST = 2048  # longer side by shorter: resized to a shorter side of 256, 0.4 GB
_ORIENTATION = 0x0112  # EXIF tag
DEEP = 'has 16 bits or more a channel: read as 8 bits by dropping the low ones'


class Header(NamedTuple):
    """Header of a picture file."""

    size: tuple[int, int]  # width, height as stored
    turned: int  # EXIF orientation, 1 to 8; 5 to 8 exchange width and height
    deep: bool  # more than 8 bits a channel
    unscaled: bool = False  # 32-bit or floating-point numbers, whose range nobody knows

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height of the picture when it is turned as its EXIF data say."""
        return self.size[::-1] if self.turned >= 5 else self.size

    def refusal(self) -> str | None:
        """Return why the picture is not predicted (memory, or values without a known range) with a remedy, or None."""
        width, height = self.size
        if width * height > _MOST:
            return f'{width} x {height} are more than {_MOST:,} pixels; cut it into tiles or shrink it'
        if max(width, height) > _THINNEST * min(width, height):
            return f'{width} x {height} is more than {_THINNEST} times as long as wide; cut it into tiles'
        if self.unscaled:
            return 'its pixels are 32-bit or floating-point numbers of unknown range; convert it to 8 bits a channel'
        return None


@contextmanager
def _without_bomb_guard() -> Iterator[None]:
    """Let Pillow open pictures of more than 179 megapixels, which it refuses by default."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def find_damage(data: bytes, decode: bool = False) -> str | None:
    """Return the damage of a picture file's bytes, or None; decode if cheaper checks do not decide, or if `decode`."""
    if not data:
        return 'the file is empty'
    if not decode and any(data.startswith(signature) and mark in data[-_TAIL:] for signature, mark in _END_MARKS):
        return None
    # The header of a WebP file holds its length.
    if not decode and data[:4] == b'RIFF' and len(data) >= 8 + int.from_bytes(data[4:8], 'little'):
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
    """Read the header of a picture, a path or binary file; None if Pillow cannot read it."""
    try:
        with _without_bomb_guard(), Image.open(source) as image:  # type: ignore[arg-type]
            # Pillow opens 16-bit colour as RGB; only the tile storage shows it (RGB;16B). BMP has BGR;16 per pixel.
            stored = str(image.tile[0]) if image.tile and image.format != 'BMP' else ''
            deep = image.mode.startswith(('I', 'F')) or ';16' in stored or ';32' in stored
            turned = 1
            with suppress(Exception):  # last, because it reads the whole file of a PNG, which may be damaged
                turned = image.getexif().get(_ORIENTATION, 1)
            unscaled = image.mode.startswith('F') or ';32' in stored
            return Header(image.size, turned if turned in range(1, 9) else 1, deep, unscaled)
    except Exception:  # each decoder raises its own kind; the loader reports the damage
        return None


def size_mismatch(path: str, size: tuple[int, int], said: tuple[int, int], source: str) -> str:
    """Return the error line for a picture of another `size` (width, height) than `source` says."""
    hint = ' (width and height exchanged)' if size == said[::-1] else ''
    return (
        f'image {path} is {size[0]} x {size[1]} pixels, but {source} says {said[0]} x {said[1]}{hint}: its boxes would '
        'lie elsewhere; correct width and height, or use the pictures that were labelled'
    )
