"""Train slim SSDs, six backbones by four necks, on the embedded data set, and compare their mAP and speed.

    python tools/experiments/ssd_grid.py --page docs/ssd_grid.md

Every cell gets the same images, iterations and optimizer, from two seeds, with one thread a run and two runs side by
side. A run that is done is not repeated, so the command may be stopped and given again. At last all detectors are timed
in turn. Each is configs/quickstart/ssd_BACKBONE_shapes.py with the neck that configs/ssd has.

WORK_DIR/CELL/seed_N/                             log.txt, checkpoint, result.json
WORK_DIR/table.md, ssd_grid.json, ssd_grid.png    the results
PAGE                                              gets the table; the other two go beside it and into images/
"""

import argparse
from pathlib import Path

from mmsparseswin import cli


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/ssd_grid'), help='default %(default)s')
    parser.add_argument(
        '--data', default='data/shapes', help='folder of the embedded data set; drawn if it is not there'
    )
    parser.add_argument(
        '--images', type=int, nargs=2, default=(1000, 200), help='images to train on and to validate on'
    )
    parser.add_argument('--size', type=int, default=160, help='longer side of the images that are drawn')
    parser.add_argument('--cells', nargs='+', metavar='BACKBONE_NECK', help='only these, e.g. swin-t-b_fpn')
    parser.add_argument('--seeds', type=int, default=2, help='runs of each cell; default 2')
    parser.add_argument('--epochs', type=int, help='length of a run; default 5')
    parser.add_argument('--jobs', type=int, default=2, help='runs side by side; default 2')
    parser.add_argument('--page', type=Path, help='a Markdown page with the two marks, e.g. docs/ssd_grid.md')
    parser.add_argument('--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE')
    return parser.parse_args()


def main() -> None:
    """Compare."""
    args = parse_args()
    from mmsparseswin.benchmark import ssd_grid  # torch and mmdet come after the command line: --help answers at once

    ssd_grid.run(args)


if __name__ == '__main__':
    cli.run_tool(main)
