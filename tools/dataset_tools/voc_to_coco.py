"""Convert Pascal VOC labels (one XML file per picture) to COCO JSON.

Blood cells, in the layout of configs/_base_/datasets/bccd.py; two of their boxes have no width:
    git clone https://github.com/Shenggan/BCCD_Dataset
    python tools/dataset_tools/voc_to_coco.py BCCD_Dataset/BCCD data/bccd --copy-to images --leave-out
Own pictures labelled with labelImg, a fifth of them for validation:
    python tools/dataset_tools/voc_to_coco.py photos data/mine --val 0.2

The splits are the lists in ImageSets/Main, else the folders train, val (valid) and test. Every fault is named with its
file and line.
"""

import argparse

from mmsparseswin import cli


def main() -> None:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    from mmsparseswin.cli.label_conversion import add_conversion_options, finish
    from mmsparseswin.label_formats.problems import Problems
    from mmsparseswin.label_formats.voc import DIFFICULT, read_voc

    add_conversion_options(parser)
    parser.add_argument('--classes', nargs='+', help='class names by label; default: all that occur, sorted')
    parser.add_argument(
        '--difficult',
        choices=DIFFICULT,
        default='ignore',
        help='objects flagged difficult: iscrowd=1, which training and scores ignore (default), as others, or left out',
    )
    parser.add_argument(
        '--pixels-from-one',
        action='store_true',
        help='corners are pixels counted from 1, the last inside the box, as in VOC 2007 and 2012; default: from 0',
    )
    args = parser.parse_args()
    problems = Problems()
    data = read_voc(args.source, problems, args.classes, args.pixels_from_one, args.difficult)
    finish(data, problems, args)


if __name__ == '__main__':
    cli.run_tool(main)
