"""Draw a contact sheet of a COCO set: pictures with their masks, boxes and class names."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as mask_utils

from mmsparseswin.errors import InputError
from mmsparseswin.shapes.dataset import CLASSES, read_annotations

COLOURS = ((255, 70, 70), (70, 255, 70), (90, 130, 255), (255, 255, 70), (255, 80, 255), (70, 255, 255))


def save_sheet(root: str | Path, path: str | Path) -> None:
    """Write `contact_sheet(root)` to an image file; InputError if `path` cannot be written."""
    sheet = contact_sheet(root)
    try:
        sheet.save(path)
    except (OSError, ValueError) as error:  # ValueError: no image format has this extension
        raise InputError(
            f'Cannot write the sheet to {path}: {error}. Name a .png or .jpg in an existing folder.'
        ) from error


def contact_sheet(root: str | Path, split: str = 'val', columns: int = 6, rows: int = 4) -> Image.Image:
    """Tile the first pictures of a drawn set; a crowd region is marked `crowd of ...` and framed in black."""
    content = read_annotations(root, split)
    tile = max(max(image['height'], image['width']) for image in content['images'])
    sheet = Image.new('RGB', (columns * tile, rows * tile), 'white')
    for index, image in enumerate(content['images'][: columns * rows]):
        picture = Image.open(Path(root) / split / image['file_name'])
        objects = [item for item in content['annotations'] if item['image_id'] == image['id']]
        sheet.paste(_annotated(picture, objects), (index % columns * tile, index // columns * tile))
    return sheet


def _annotated(picture: Image.Image, objects: list[dict]) -> Image.Image:
    """Return the picture with each object tinted in the colour of its class, framed and named."""
    pixels = np.array(picture)
    for item in objects:
        mask = mask_utils.decode(item['segmentation']).astype(bool)
        pixels[mask] = 0.55 * pixels[mask] + 0.45 * np.array(COLOURS[item['category_id'] - 1])
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    for item in objects:
        x, y, w, h = item['bbox']
        name = ('crowd of ' if item['iscrowd'] else '') + CLASSES[item['category_id'] - 1]
        draw.rectangle((x, y, x + w - 1, y + h - 1), outline='black' if item['iscrowd'] else 'white')
        draw.text((x + 2, y), name, fill='white', stroke_width=1, stroke_fill='black')
    return picture
