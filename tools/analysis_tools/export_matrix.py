"""Export models in every format and precision, and write one table: differences, sizes, milliseconds.

    mmsparseswin export-matrix swin-tiny sparseswin-tiny stvitr-small --shape 224 --images photos/ --out matrix.json
    mmsparseswin export-matrix CONFIG=CHECKPOINT --formats onnx --shape 32 --out matrix.json --page docs/export.md

Each file is proven as `mmsparseswin export` does; what it refuses stands in the table with the reason. Files are made
in a temporary folder. --page rewrites the lines between the two marks of a Markdown page.
"""

import argparse
import functools
import shlex
import sys
import tempfile
from pathlib import Path

from mmsparseswin import cli
from mmsparseswin.errors import InputError

FORMATS = ('onnx', 'openvino', 'torch-export', 'torchscript')


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'models',
        nargs='+',
        metavar='MODEL',
        help='a backbone by name with random weights, or CONFIG=CHECKPOINT: its classifier, or a detector',
    )
    parser.add_argument('--formats', nargs='+', choices=FORMATS, default=['onnx', 'openvino', 'torchscript'])
    parser.add_argument('--precisions', nargs='+', choices=['fp32', 'int8'], default=['fp32', 'int8'])
    parser.add_argument(
        '--shape', type=int, nargs='+', required=True, metavar='N', help='height and width, or one side'
    )
    parser.add_argument('--images', nargs='+', metavar='PATH', help='int8: pictures for backbones by name')
    parser.add_argument('--calibration', type=int, default=100, metavar='N', help='int8: their number (100)')
    parser.add_argument('--out', required=True, type=Path, metavar='FILE.json')
    parser.add_argument('--page', type=Path, metavar='FILE.md', help='write the table into this page')
    parser.add_argument('--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE')
    cli.add_trust_option(parser)
    return parser.parse_args()


def main() -> None:
    """Export and write the table."""
    args = parse_args()
    if len(args.shape) > 2 or min(args.shape) < 1 or args.calibration < 1:
        raise InputError('--shape takes a height and a width, or one side, and --calibration a positive number')
    shape = (args.shape[0], args.shape[-1])
    from mmsparseswin.checkpoints.training_files import check_checkpoint_file  # --help answers at once
    from mmsparseswin.cli import run_config
    from mmsparseswin.engine.safe_reader import install_safe_reader
    from mmsparseswin.export import calibration, matrix
    from mmsparseswin.export.subjects import from_config, from_name, is_name

    install_safe_reader(args.trust_checkpoint)
    if args.page is not None:
        matrix.split_page(args.page)  # refused before hours of work
    entries = []
    for text in args.models:
        if is_name(text):
            if 'int8' in args.precisions and not args.images:
                raise InputError(f'int8 of {text}: name pictures by --images, or leave out --precisions int8')
            calibrate = functools.partial(calibration.from_images, args.images, args.calibration, shape)
            entries.append(matrix.Entry(f'{text}, random weights', functools.partial(from_name, text), calibrate))
            continue
        config, _, checkpoint = text.partition('=')
        if not checkpoint:
            raise InputError(f'{text}: give a backbone of mmsparseswin.list_models(), or CONFIG=CHECKPOINT')
        check_checkpoint_file(checkpoint, args.trust_checkpoint)
        cfg = run_config.load_config(config, args.cfg_options)
        build = functools.partial(from_config, cfg, config, checkpoint)
        calibrate = functools.partial(calibration.from_data, cfg, args.calibration, shape)
        entries.append(matrix.Entry(Path(config).stem, build, calibrate))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for row in matrix.export_all(entries, args.formats, args.precisions, shape, Path(folder)):
            rows.append(row)
            print(matrix.table([row]).splitlines()[-1], file=sys.stderr, flush=True)
    command = f'mmsparseswin export-matrix {shlex.join(sys.argv[1:])}'
    text = f'{matrix.caption(rows, shape, command)}\n\n{matrix.table(rows)}'
    matrix.save(rows, text, args.out, args.page)
    print(text)


if __name__ == '__main__':
    cli.run_tool(main)
