"""Check the COCO data sets of a config, as tools/train.py does before it starts, and count what is in them.

python tools/misc/check_dataset.py CONFIG [--cfg-options data_root=DIR]
"""

import argparse
from collections import Counter
from typing import TYPE_CHECKING

from mmsparseswin import cli
from mmsparseswin.errors import InputError

if TYPE_CHECKING:
    from mmsparseswin.detection.dataset_check import CocoFile


def summary(coco: 'CocoFile') -> str:
    """Lines of counts: images, boxes, crowds, and boxes of each class."""
    categories = {category['id']: category['name'] for category in coco.categories}
    boxes = Counter(categories[ann['category_id']] for ann in coco.annotations)
    empty = len({image['id'] for image in coco.images} - {ann['image_id'] for ann in coco.annotations})
    crowds = sum(bool(ann.get('iscrowd')) for ann in coco.annotations)
    head = f'{len(coco.images)} images, {empty} of them empty; {len(coco.annotations)} boxes, {crowds} of them crowds'
    width = max(map(len, coco.classes))
    rows = [f'  {name:{width}}  {boxes[name]:8}' for name in sorted(coco.classes, key=lambda name: -boxes[name])]
    return '\n'.join([f'{coco.option}: {coco.path}', f'  {head}', *rows])


def main() -> None:
    """Check and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='an mmdet config')
    parser.add_argument('--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE')
    args = parser.parse_args()
    from mmsparseswin import run_config  # torch comes after the command line: --help answers at once
    from mmsparseswin.detection.dataset_check import check_config

    checked = check_config(run_config.load_config(args.config, args.cfg_options))
    if not checked:
        raise InputError(f'{args.config} has no COCO data set to check')
    for coco in checked:
        print(summary(coco))


if __name__ == '__main__':
    cli.run_tool(main)
