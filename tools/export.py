"""Export a backbone, a classifier or a detector to ONNX, OpenVINO, torch.export or TorchScript, and prove the file.

    mmsparseswin export CONFIG CHECKPOINT --format onnx --shape 224 --preprocess rgb --out model.onnx
    mmsparseswin export sparseswin-tiny weights.pth --format openvino --shape 800 1333 --dynamic batch --out model.xml
    mmsparseswin export CONFIG CHECKPOINT --backbone --format torch-export --shape 512 --out model.pt2
    mmsparseswin export CONFIG CHECKPOINT --format onnx --shape 512 --shape 384 512 --out folder

The file is run by its own runtime on pictures, its outputs are compared with those of eager PyTorch, and it is timed
beside it. If they differ by more than rounding, nothing is written and the exit code is 2. FILE.json beside the file
tells classes, input, mean and std, versions, sizes, the comparison and the times.

A classifier gives scores (B, classes), a backbone the map (B, C, H, W) of each stage. The file takes one image of
--shape, or with --dynamic batch any number of them. A detector (onnx, openvino) gives boxes (n, 4), scores (n,),
labels (n,) and perhaps masks (n, 28, 28) of one image; its second input `size` is the height and width of the picture
inside the padded image. With --shape several times a folder gets a file of each size, and the runtime chooses one for
each picture.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from mmsparseswin import cli
from mmsparseswin.errors import InputError

# format -> end of its files' names
SUFFIXES = {'onnx': '.onnx', 'openvino': '.xml', 'torch-export': '.pt2', 'torchscript': '.pt'}


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', metavar='CONFIG', help='an mmdet or mmpretrain config, or a backbone: swin-tiny, ...')
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='a file that training wrote; for a backbone by name, weights of any known source; without it the weights '
        'are random',
    )
    parser.add_argument(
        '--format', required=True, choices=list(SUFFIXES), help='onnx, openvino (NAME.xml and NAME.bin), ...'
    )
    parser.add_argument(
        '--shape',
        required=True,
        type=int,
        nargs='+',
        action='append',
        metavar='N',
        help='height and width, or one side; of a detector several times, and --out names a folder',
    )
    parser.add_argument(
        '--out', required=True, metavar='FILE', help=f'the file; its name ends in {", ".join(SUFFIXES.values())}'
    )
    parser.add_argument('--backbone', action='store_true', help="export the config's backbone alone")
    parser.add_argument(
        '--nms',
        choices=['inside', 'outside'],
        default='inside',
        help="of a one-stage detector: inside the file, or the file's boxes and scores are those before it",
    )
    parser.add_argument('--dynamic', metavar='batch', help='batch: take any number of images')
    parser.add_argument(
        '--preprocess',
        choices=['bgr', 'rgb'],
        help='take pictures of uint8 (B, H, W, 3) in this order of channels, and normalise them inside; by default the '
        'file takes normalised float images (B, 3, H, W)',
    )
    parser.add_argument('--precision', default='fp32', metavar='fp32|int8', help='of weights and computation')
    parser.add_argument(
        '--calibration', type=int, metavar='N', help="int8: take ranges from this many pictures of the config's data"
    )
    parser.add_argument('--images', nargs='+', metavar='PATH', help='pictures to compare on; default: drawn ones')
    parser.add_argument('--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE')
    cli.add_trust_option(parser)
    return parser.parse_args()


def check_options(args: argparse.Namespace) -> None:
    """Refuse what is not offered, before torch is imported."""
    for shape in args.shape:
        if len(shape) > 2:
            raise InputError(f'--shape {" ".join(map(str, shape))}: give a height and a width, or one side, in pixels')
    if args.dynamic == 'size':
        raise InputError(
            '--dynamic size: windows and tables of a file are those of one size, and another would give wrong maps; '
            'of a detector give --shape once for each size, and a folder as --out'
        )
    if args.dynamic not in (None, 'batch'):
        raise InputError(f'--dynamic {args.dynamic}: only batch is offered')
    if args.precision == 'bf16':
        raise InputError(
            "--precision bf16: choose it where the file runs, runtime.load(FILE, precision='bf16') with OpenVINO; "
            'files are written in fp32 or int8'
        )
    if args.precision not in ('fp32', 'int8'):
        raise InputError(f'--precision {args.precision}: use fp32 or int8')
    if args.calibration is not None and (args.precision != 'int8' or args.calibration < 1):
        raise InputError(f'--calibration {args.calibration}: a positive number, with --precision int8')


def main() -> None:
    """Export."""
    args = parse_args()
    check_options(args)
    shapes, out = [(shape[0], shape[-1]) for shape in args.shape], Path(args.out)
    from mmsparseswin.checkpoints.training_files import check_checkpoint_file  # --help answers at once
    from mmsparseswin.cli import run_config
    from mmsparseswin.engine.safe_reader import install_safe_reader
    from mmsparseswin.export import calibration
    from mmsparseswin.export.exporting import check_request, export
    from mmsparseswin.export.sizes import export_sizes, file_of
    from mmsparseswin.export.subjects import from_config, from_name, is_name

    install_safe_reader(args.trust_checkpoint)
    int8, count = args.precision == 'int8', args.calibration or calibration.PICTURES
    cfg: Any = None
    if int8 and len(shapes) > 1:
        raise InputError('--precision int8: give --shape once; a whole detector is written in fp32')
    for shape in shapes:
        path = out if len(shapes) == 1 else file_of(out.parent, args.format, shape)
        check_request(args.format, path, shape, int8)
    if is_name(args.model):
        if args.cfg_options or args.backbone:
            raise InputError(f'{args.model} is a backbone: --cfg-options and --backbone are for configs')
        subject = from_name(args.model, args.checkpoint)
    else:
        if args.checkpoint is not None:
            check_checkpoint_file(args.checkpoint, args.trust_checkpoint)
        cfg = run_config.load_config(args.model, args.cfg_options)
        subject = from_config(cfg, args.model, args.checkpoint, args.backbone)
    ranges: Any = None
    if int8 and args.images:
        ranges = calibration.from_images(args.images, count, shapes[0])
    elif int8:
        if cfg is None:
            raise InputError(f'--precision int8: {args.model} has no data to calibrate on; name pictures by --images')
        ranges = calibration.from_data(cfg, count, shapes[0])
    if args.checkpoint is None:
        print('no CHECKPOINT: the weights are random', file=sys.stderr)
    options = dict(batch=args.dynamic == 'batch', order=args.preprocess, images=args.images, nms=args.nms)
    if len(shapes) > 1:
        for shape, report in zip(shapes, export_sizes(subject, args.format, out, shapes, **options), strict=True):
            print_report(report, file_of(out, args.format, shape))
    else:
        print_report(export(subject, args.format, out, shapes[0], int8=ranges, **options), out)


def print_report(report: dict[str, Any], out: Path) -> None:
    """Print differences, times and size of one file."""
    for name, one in report['comparison']['outputs'].items():
        if report['precision'] == 'int8':
            print(f'{name}: cosine {one["cosine"]:.4f} with eager (lowest {one["lowest_cosine"]:.4f})')
            continue
        print(
            f'{name}: differs from eager by {one["largest_difference"]:.1e}, {one["relative"]:.1e} of the largest value'
        )
    if 'same_class' in report['comparison']:
        print(f'{100 * report["comparison"]["same_class"]:.1f} % of the pictures keep their class')
    if accuracy := report['comparison'].get('accuracy'):
        print(f'accuracy {accuracy["file"]:.2f} %, eager {accuracy["eager"]:.2f} %: {report["comparison"]["pictures"]}')
    if 'detections' in report['comparison']:
        print(
            f'{report["comparison"]["detections"]} detections are equal, and '
            f'{report["comparison"]["decided_by_rounding"]} more were decided by rounding'
        )
    times = report['milliseconds']
    print(f'one image: {times["file"]} ms, eager PyTorch {times["eager"]} ms, {times["threads"]} threads')
    print(f'{out}: {sum(report["bytes"].values()) / 1e6:.1f} MB; {out}.json')


if __name__ == '__main__':
    cli.run_tool(main)
