"""Write the first images of a COCO annotation file, with their annotations, to a new file.

python tools/dataset_tools/subset_coco.py data/coco/annotations/instances_train2017.json first16.json --images 16
"""

import argparse
import json
from pathlib import Path

from mmsparseswin.cli import run_tool
from mmsparseswin.errors import InputError


def main() -> None:
    """Parse the command line and write the subset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', help='a COCO annotation file')
    parser.add_argument('target', type=Path, help='the file to write')
    parser.add_argument('--images', type=int, default=16, help='number of images, by order of ids; default 16')
    parser.add_argument('--empty', action='store_true', help='include images without objects')
    args = parser.parse_args()
    from mmsparseswin.detection.data_check.reading import read_coco  # slow to import; --help works without it

    images, annotations, categories = read_coco(args.source, 'source').values()
    seen = {a['image_id'] for a in annotations}
    chosen = [i for i in sorted(images, key=lambda image: image['id']) if args.empty or i['id'] in seen][: args.images]
    if len(chosen) < args.images:
        raise InputError(f'{args.source} has {len(chosen)} such images, --images asks for {args.images}')
    ids = {image['id'] for image in chosen}
    kept = [a for a in annotations if a['image_id'] in ids]
    args.target.parent.mkdir(parents=True, exist_ok=True)
    args.target.write_text(json.dumps({'images': chosen, 'annotations': kept, 'categories': categories}))
    print(f'{args.target}: {len(chosen)} images, {len(kept)} annotations')


if __name__ == '__main__':
    run_tool(main)
