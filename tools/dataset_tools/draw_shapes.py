"""Draw the embedded data set (COCO layout); a second run with the same settings re-uses it.

python tools/dataset_tools/draw_shapes.py data/shapes --images 800 200 --size 160 --seed 0
"""

import argparse
from pathlib import Path

from mmsparseswin import cli
from mmsparseswin.shapes.contact_sheet import save_sheet
from mmsparseswin.shapes.dataset import draw_dataset


def main() -> None:
    """Parse the command line, and draw or re-use the set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', type=Path, help='folder to fill')
    parser.add_argument(
        '--images',
        type=int,
        nargs=2,
        default=(800, 200),
        metavar=('TRAIN', 'VAL'),
        help='pictures; default 800 200',
    )
    parser.add_argument('--size', type=int, default=160, help='longer side of the pictures in pixels; default 160')
    parser.add_argument('--seed', type=int, default=0, help='seed of the drawing; default 0')
    parser.add_argument('--sheet', type=Path, help='also write a picture of the first validation images, annotated')
    args = parser.parse_args()
    drawn = draw_dataset(args.root, tuple(args.images), args.size, args.seed)
    if args.sheet:
        save_sheet(args.root, args.sheet)
    print(f'{args.root}: {args.images[0]} + {args.images[1]} pictures {"drawn" if drawn else "re-used"}')


if __name__ == '__main__':
    cli.run_tool(main)
