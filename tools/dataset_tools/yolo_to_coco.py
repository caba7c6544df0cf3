"""Convert YOLO labels (data.yaml, and a text file per picture) to COCO JSON.

    python tools/dataset_tools/yolo_to_coco.py datasets/mine data/mine

A line of a label file is `class x y width height`, or `class x1 y1 x2 y2 x3 y3 ...` for an outline, which becomes a
polygon; all numbers but the class are parts of the picture's width and height. data.yaml names the classes (`names`)
and the pictures (`train`, `val`, `test`: folders, or text files that list them). Every fault is named with its file and
line.
"""

import argparse

from mmsparseswin import cli


def main() -> None:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    from mmsparseswin.cli.label_conversion import add_conversion_options, finish
    from mmsparseswin.label_formats.problems import Problems

    add_conversion_options(parser, splits=False)
    args = parser.parse_args()
    from mmsparseswin.label_formats.yolo import find_yolo, read_yolo  # numpy comes after the command line

    problems = Problems()
    files = find_yolo(args.source, problems)
    finish(read_yolo(files, problems), problems, args)


if __name__ == '__main__':
    cli.run_tool(main)
