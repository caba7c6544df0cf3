"""Train slim SSDs, six backbones by four necks, on the embedded data set, and compare their mAP and speed.

    python tools/experiments/ssd_grid.py --page docs/ssd_grid.md

Every cell gets the same images, iterations and optimizer, from two seeds; two runs of one thread each train at a time.
A finished run is not repeated, so the command can be stopped and started again. Afterwards all detectors are timed in
turns. Each is configs/quickstart/ssd_BACKBONE_shapes.py with the neck of the config in configs/ssd.

WORK_DIR/CELL/seed_N/                             log.txt, checkpoint, result.json
WORK_DIR/table.md, ssd_grid.json, ssd_grid.png    the results
PAGE                                              gets the table; JSON and picture go beside it and into images/
"""

import argparse
from pathlib import Path

from mmsparseswin import cli


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/ssd_grid'), help='default %(default)s')
    parser.add_argument('--data', default='data/shapes', help='folder of the embedded data set, drawn if missing')
    parser.add_argument(
        '--images', type=int, nargs=2, default=(1000, 200), help='number of training and validation images'
    )
    parser.add_argument('--size', type=int, default=160, help='longer side of the drawn images')
    parser.add_argument('--cells', nargs='+', metavar='BACKBONE_NECK', help='train only these, e.g. swin-t-b_fpn')
    parser.add_argument('--seeds', type=int, default=2, help='runs of each cell; default 2')
    parser.add_argument('--epochs', type=int, help='epochs of a run; default 5')
    parser.add_argument('--jobs', type=int, default=2, help='runs at a time; default 2')
    parser.add_argument('--page', type=Path, help='a Markdown page with the two marks, e.g. docs/ssd_grid.md')
    parser.add_argument('--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE')
    return parser.parse_args()


def main() -> None:
    """Run the grid."""
    args = parse_args()
    from mmsparseswin.benchmark import ssd_grid  # slow to import; --help works without it

    ssd_grid.run(args)


if __name__ == '__main__':
    cli.run_tool(main)
