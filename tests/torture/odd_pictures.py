"""Write 50 pictures of the kinds that break programs, and predict them by the command itself."""

import io
import json
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measured import Measured, run_measured
from PIL import Image

ROOT = Path(__file__).parents[2]


def write_pictures(folder: Path) -> list[Path]:
    """Write all pictures into `folder`; return their paths."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (97, 131, 3), dtype=np.uint8))
    jpeg, png = _bytes(noise, 'JPEG'), _bytes(noise, 'PNG')
    _whole_images(folder, noise)
    _sizes(folder)
    _orientations(folder, noise)
    _containers(folder, noise)
    damaged = {
        'zero_bytes.jpg': b'',
        'one_byte.png': b'\x89',
        'truncated.jpg': jpeg[: len(jpeg) // 2],
        'truncated.png': png[: len(png) // 2],
        'without_end.jpg': jpeg[:-2],
        'zeros.jpg': bytes(5000),
        'noise.jpg': rng.bytes(5000),
        'text.png': b'a picture, honestly\n',
        'web_page.jpg': b'<!DOCTYPE html><html></html>',
        'header_alone.png': png[:33] + png[-12:],
        'flipped_bits.png': png[:200] + bytes(byte ^ 255 for byte in png[200:260]) + png[260:],
        'flipped_bits.jpg': jpeg[:700] + bytes(byte ^ 16 for byte in jpeg[700:720]) + jpeg[720:],
        'png_named.jpg': png,
        'zeros_behind.jpg': jpeg + bytes(100),
        'garbage_behind.png': png + rng.bytes(3000),
    }
    for name, data in damaged.items():
        (folder / name).write_bytes(data)
    (folder / 'a_folder.jpg').mkdir()
    (folder / 'to_nothing.jpg').symlink_to(folder / 'nothing.jpg')
    (folder / 'name with spaces, \u00fc and \u732b.jpg').write_bytes(jpeg)
    return sorted(folder.iterdir())


def _bytes(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _whole_images(folder: Path, noise: Image.Image) -> None:
    """Colour modes and depths."""
    deep = np.linspace(0, 65535, 80 * 90).reshape(80, 90)
    for name, image in {
        'grey.png': noise.convert('L'),
        'grey_alpha.png': noise.convert('LA'),
        'bits.png': noise.convert('1'),
        'palette.png': noise.convert('P'),
        'transparent.png': noise.convert('RGBA'),
        'cmyk.jpg': noise.convert('CMYK'),
        'cmyk.tiff': noise.convert('CMYK'),
        'lab.tiff': noise.convert('LAB'),
        '16_bit.png': Image.fromarray(deep.astype(np.uint16)),
        '16_bit.tiff': Image.fromarray(deep.astype(np.uint16)),
        '32_bit.tiff': Image.fromarray(deep.astype(np.int32)),
        'float.tiff': Image.fromarray((deep / 65535).astype(np.float32)),
        'nan.tiff': Image.fromarray(np.full((20, 30), np.nan, np.float32)),
        'plain.bmp': noise,
        'plain.webp': noise,
        'plain.ppm': noise,
        'grey.pgm': noise.convert('L'),
    }.items():
        image.save(folder / name)


def _sizes(folder: Path) -> None:
    for name, size in {
        '1x4000.png': (1, 4000),
        '20000x10.png': (20000, 10),
        '1x1.png': (1, 1),
        '3x2.jpg': (3, 2),
    }.items():
        Image.new('RGB', size, 'teal').save(folder / name)
    write_bits(folder / '60000x60000.png', 60000, 60000)
    write_bits(folder / '65000x3.png', 65000, 3)
    Image.new('L', (13500, 13500), 90).save(folder / '182_megapixels.tiff', compression='tiff_deflate')
    Image.new('L', (20000, 20000), 90).save(folder / '400_megapixels.tiff', compression='tiff_deflate')


def write_bits(path: Path, width: int, height: int) -> None:
    """Write a PNG of one bit a pixel row by row: 60000 x 60000 take 450 MB unpacked and 0.4 MB in the file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    packer, row = zlib.compressobj(1), bytes(1 + (width + 7) // 8)
    pixels = b''.join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack('>IIBBBBB', width, height, 1, 0, 0, 0, 0)
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', pixels) + chunk(b'IEND', b''))


def _orientations(folder: Path, noise: Image.Image) -> None:
    for turned in (2, 3, 6, 8, 99):
        exif = Image.Exif()
        exif[0x0112] = turned
        noise.save(folder / f'exif_{turned}.jpg', exif=exif)


def _containers(folder: Path, noise: Image.Image) -> None:
    """Several pictures in one file, and other ways to lay one out."""
    pages = [noise, noise.rotate(90, expand=True)]
    noise.save(folder / 'animated.webp', save_all=True, append_images=[noise.rotate(180)], duration=50)
    noise.save(folder / 'animated.png', save_all=True, append_images=[noise.rotate(180)], duration=50)
    pages[0].save(folder / 'two_pages.tiff', save_all=True, append_images=pages[1:])
    noise.save(folder / 'progressive.jpg', progressive=True)


class Outcome:
    """What became of `pictures`, predicted by a `tool` run."""

    def __init__(self, pictures: list[Path], result: Measured, lines: Path) -> None:
        records = [json.loads(line) for line in lines.read_text().splitlines()[1:]] if lines.is_file() else []
        self.predicted = {record['file_name'] for record in records}
        said = [line for line in result.err.splitlines() if line.startswith('skipped ')]
        self.named = {path.name: [line for line in said if f'/{path.name}: ' in line] for path in pictures}
        self.result, self.count = result, len(pictures)
        self.lost = [
            f'{path.name}: {len(self.named[path.name])} lines, predicted: {path.name in self.predicted}'
            for path in pictures
            if len(self.named[path.name]) != (path.name not in self.predicted)
        ]
        if 'Traceback' in result.err + result.out or result.code != 1:
            self.lost.append(f'exit code {result.code}: {result.err[-500:]}')

    def __str__(self) -> str:
        return (
            f'{self.count} pictures: {len(self.predicted)} predicted, {sum(map(bool, self.named.values()))} named, '
            f'{len(self.lost)} lost; {self.result}'
        )


def predict(folder: Path, config: Path, checkpoint: Path, tell: Callable[[str], None] = print) -> Outcome:
    """Predict all pictures by one run of tools/predict.py, and draw them."""
    pictures = write_pictures(folder / 'pictures')
    command = [sys.executable, str(ROOT / 'tools/predict.py'), str(config), str(checkpoint), str(folder / 'pictures')]
    result = run_measured([*command, '--out-dir', str(folder / 'out'), '--no-amp', '--device', 'cpu'], folder)
    outcome = Outcome(pictures, result, folder / 'out/predictions.jsonl')
    for lines in outcome.named.values():
        for line in lines:
            tell(line.replace(f'{folder}/', ''))
    return outcome
