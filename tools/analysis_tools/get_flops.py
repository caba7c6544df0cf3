"""Count parameters, MACs, FLOPs and activations of a detector, a classifier or a backbone, per stage and module.

    python tools/analysis_tools/get_flops.py configs/cascade_sparseswin_coco.py --shape 800 1333
    python tools/analysis_tools/get_flops.py swin-tiny --shape 224 --depth 3
    python tools/analysis_tools/get_flops.py swin-cifar --convention fvcore --cfg-options model.head.num_classes=10

The model is built without its weights and run once on one random image. FLOPs are two per MAC. A detector predicts as
in a test, its preprocessing and padding included; thresholds and NMS are set to let every box pass, so that its heads
work on as many boxes as test_cfg allows at most, and the numbers of boxes are printed.
"""

import argparse
import contextlib
import sys

from mmsparseswin import cli
from mmsparseswin.errors import InputError


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', help='a config, or a classifier: swin-<arch>, sparseswin-<arch>, stvitr-<arch>')
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        metavar='N',
        help='height and width of the image, or the side of a square one; default 800 1333 for detectors, otherwise '
        'the img_size of the backbone, or 224',
    )
    parser.add_argument('--depth', type=int, default=2, help='levels of modules to print; default 2: stages')
    parser.add_argument(
        '--convention',
        choices=['mac', 'fvcore'],
        default='mac',
        help='fvcore: print what fvcore calls flops, 1 per MAC and 5 per element of a layer norm',
    )
    parser.add_argument(
        '--device',
        choices=['meta', 'cpu', 'cuda'],
        help='where to run; default cpu for detectors, else meta: shapes only, instantly',
    )
    parser.add_argument('--json', action='store_true', help='print JSON')
    parser.add_argument('--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE')
    return parser.parse_args()


def main() -> None:
    """Build and run the model, and print the counts."""
    args = parse_args()
    if args.shape and (len(args.shape) > 2 or min(args.shape) < 1):
        raise InputError(f'--shape {" ".join(map(str, args.shape))}: give a height and a width, or one side, in pixels')
    # Imports may print to stdout, which holds the report.
    with contextlib.redirect_stdout(sys.stderr):
        from mmsparseswin.analysis.flops_report import as_json, as_table, build, default_shape, is_detector, load, run

        model = build(load(args.model, args.cfg_options))
        shape = (args.shape[0], args.shape[-1]) if args.shape else default_shape(model)
        done = run(model, shape, args.device or ('cpu' if is_detector(model) else 'meta'))
    print(as_json(done, args.depth) if args.json else as_table(done, args.depth, args.convention))


if __name__ == '__main__':
    cli.run_tool(main)
