"""Train the slim SparseSwinDet mended, as published, and with each published fault switched on alone.

    python tools/experiments/sparse_swin_det.py --cpu-minutes 3 --out-dir WORK_DIR
    python tools/experiments/sparse_swin_det.py --config configs/experiments/sparseswindet_bccd.py --data data/bccd \
        --cpu-minutes 5 --out-dir WORK_DIR --rows mended published blind-map

Every training uses one thread and the same CPU time, so that other work on the machine changes nothing but the clock.
Faults of the test alone are tried on the mended model. A run that has its result is not repeated.

WORK_DIR/table.md       a row per training
WORK_DIR/results.json   all numbers
WORK_DIR/ROW_SEED/      the work dir of each training
"""

import argparse
from pathlib import Path

from mmsparseswin import cli
from mmsparseswin.errors import InputError
from mmsparseswin.locations import folder


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', type=Path, help='mended config; default: the one of the embedded data set')
    parser.add_argument(
        '--data',
        type=Path,
        help='data set; default: draw the embedded one into WORK_DIR/shapes, 1,000 and 200 pictures',
    )
    parser.add_argument('--images', type=int, nargs=2, default=(1000, 200), help='pictures to draw')
    parser.add_argument('--cpu-minutes', type=float, required=True, help='CPU time of each training')
    parser.add_argument('--rows', nargs='+', help='rows to train; default: all')
    parser.add_argument('--seeds', type=int, default=1, help='seeds of every row')
    parser.add_argument('--out-dir', type=Path, required=True, help='folder for the results')
    parser.add_argument(
        '--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE', help='for all trainings'
    )
    return parser.parse_args()


def main() -> None:
    """Draw the data set if none is given, train, and report."""
    args = parse_args()
    if args.cpu_minutes <= 0 or args.seeds < 1:
        raise InputError('--cpu-minutes must be more than 0, and --seeds 1 or more')
    from mmsparseswin.benchmark import sparse_swin_det  # slow to import; --help works without it
    from mmsparseswin.shapes.dataset import draw_dataset

    args.config = args.config or folder('configs') / 'quickstart/sparseswindet_shapes.py'
    args.rows = args.rows or list(sparse_swin_det.ROWS)
    if args.data is None:
        args.data = args.out_dir / 'shapes'
        draw_dataset(args.data, images=tuple(args.images), size=160)
    args.paths = {'data_root': f'{args.data}/'}
    sparse_swin_det.run(args)


if __name__ == '__main__':
    cli.run_tool(main)
