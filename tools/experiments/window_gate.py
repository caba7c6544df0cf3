"""Train a small model on real pictures and show what leaving windows out costs, beside smaller images and models.

    python tools/experiments/window_gate.py configs/experiments/window-gate_retinanet_bccd.py \
        --data-root data/bccd/ --cpu-minutes 10 --out-dir WORK_DIR

Four trainings of equal CPU time, in one thread: as the config says; with mmsparseswin.RandomKeepHook, for any share of
windows; on smaller images; with a narrower backbone. Each model is tested by the config's evaluator at several shares
of windows or sizes, and all are timed in turns by CPU time: loading, prediction and post-processing. A training whose
weights are there is not repeated.

WORK_DIR/table.md       a row per model and setting
WORK_DIR/results.json   all numbers
WORK_DIR/curve.png      accuracy over time
WORK_DIR/ROW/last.pth   weights of each training
"""

import argparse
from pathlib import Path

from mmsparseswin import cli
from mmsparseswin.errors import InputError
from mmsparseswin.malloc import keep_freed_memory


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=Path, help='a config with a Swin backbone of ours whose arch is a dict')
    parser.add_argument('--data-root', required=True, help='folder of the data set, as the config wants it')
    parser.add_argument('--cpu-minutes', type=float, required=True, help='CPU time of each training')
    parser.add_argument('--rows', nargs='+', help='trainings; default: all')
    parser.add_argument('--images', type=int, default=1, help='images per step that is timed; default 1')
    parser.add_argument('--rounds', type=int, default=20, help='steps of each model that are timed; default 20')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out-dir', type=Path, required=True, help='folder for the results')
    parser.add_argument(
        '--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE', help='for all trainings'
    )
    return parser.parse_args()


def main() -> None:
    """Train, test, time and report."""
    args = parse_args()
    if args.cpu_minutes <= 0 or args.images < 1 or args.rounds < 1:
        raise InputError('--cpu-minutes must be more than 0, --images and --rounds 1 or more')
    from mmsparseswin.benchmark import window_gate  # slow to import; --help works without it

    keep_freed_memory()  # as tools/train.py does
    args.rows = args.rows or list(window_gate.ROWS)
    window_gate.run(args)


if __name__ == '__main__':
    cli.run_tool(main)
