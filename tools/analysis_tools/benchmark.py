"""Time backbones, detectors and classifiers beside the Swins of mmdet, mmpretrain, timm and torchvision.

    python tools/analysis_tools/benchmark.py swin-tiny mmdet:swin-t timm:swin-t --sizes 8x224x224 --check
    python tools/analysis_tools/benchmark.py swin-tiny@bf16 mmdet:swin-t@autocast-bf16 --sizes 1x800x1344 --output maps
    python tools/analysis_tools/benchmark.py swin-tiny mmdet:swin-t --train --baselines mmdet:swin-t --out run.json
    python tools/analysis_tools/benchmark.py --preset backbones-cpu

A model is a name of mmsparseswin.list_models(), also with options (swin-tiny:with_cp=True), a config, or a baseline
LIBRARY:swin-t|s|b. The suffix @PRECISION overrides --dtypes. What runs it: @eager, @compiled, and for inference
@inductor (frozen weights, max-autotune), @openvino and @onnxruntime. Every round runs each model once, in rotating
order; the table shows medians and quartiles. See docs/benchmarks/README.md.
"""

import argparse
import sys
from pathlib import Path

from mmsparseswin import cli
from mmsparseswin.errors import InputError

_PRESETS = Path(__file__).parent / 'benchmark_presets'
# Repeated from mmsparseswin.benchmark, which imports torch: --help works without it.
OUTPUTS = ('pooled', 'maps')
PRECISIONS = ('fp32', 'bf16', 'fp16', 'autocast-bf16', 'autocast-fp16')
MALLOCS = ('default', 'keep', 'map')


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('models', nargs='*', metavar='MODEL')
    parser.add_argument('--sizes', nargs='+', metavar='BxHxW', help='default 8x224x224')
    parser.add_argument(
        '--dtypes', dest='precisions', nargs='+', metavar='TYPE', help=f'any of {", ".join(PRECISIONS)}; default fp32'
    )
    parser.add_argument(
        '--output',
        choices=[*OUTPUTS, 'whole'],
        help='of backbones: pooled (default), the normalised and averaged last stage; maps, four normalised maps; of '
        'configs: whole, a detector with post-processing or losses (default: raw outputs)',
    )
    parser.add_argument('--part', metavar='NAME', help='measure only this module of the models, e.g. stages.3')
    parser.add_argument('--train', dest='training', action='store_true', default=None, help='time forward and backward')
    parser.add_argument('--compile', dest='compiled', action='store_true', default=None, help='use torch.compile')
    parser.add_argument(
        '--baselines', dest='baselines', nargs='+', metavar='MODEL', help='also report ratios to these models'
    )
    parser.add_argument('--check', action='store_true', default=None, help='compare outputs on shared weights first')
    parser.add_argument('--scaling', action='store_true', default=None, help='fit the growth of time with image area')
    parser.add_argument('--no-memory', dest='memory', action='store_false', default=None, help='time only')
    parser.add_argument('--device', choices=['cpu', 'cuda'])
    parser.add_argument('--threads', type=int, help="default: PyTorch's")
    parser.add_argument('--min-rounds', type=int, help='default 5')
    parser.add_argument('--seconds', type=float, help='time to repeat for, per model and size; default 10')
    parser.add_argument(
        '--profile', action='store_true', default=None, help='also report the time per kind of operator'
    )
    parser.add_argument('--malloc', choices=MALLOCS, help='keep: the process keeps freed memory; map: it returns all')
    parser.add_argument('--preset', metavar='NAME', help=f'file of runs and goals: one of {presets()} or a path')
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FILE.json',
        help='results, with a table .md and a picture .png beside; of a preset: work_dirs/benchmarks/NAME.json',
    )
    parser.add_argument(
        '--compare',
        nargs=2,
        type=Path,
        metavar=('BEFORE.json', 'AFTER.json'),
        help='compare two results and measure nothing',
    )
    return parser.parse_args()


def presets() -> list[str]:
    """Return the names of the presets."""
    return sorted(path.stem for path in _PRESETS.glob('*.yml'))


def preset_path(name: str) -> Path:
    """Return the path of a preset."""
    path = _PRESETS / f'{name}.yml' if name in presets() else Path(name)
    if not path.is_file():
        raise InputError(f'--preset {name}: no such file, and none of {presets()}')
    return path


def main() -> None:
    """Measure, print and write the result."""
    args = parse_args()
    if args.compare:
        from mmsparseswin.benchmark.result_diff import compare, read_result

        print(compare(*map(read_result, args.compare)))
        return
    path = preset_path(args.preset) if args.preset else None
    from mmsparseswin.benchmark import report, runs

    result = runs.run_all(args, runs.read_preset(path) if path else dict(runs=[{}]))
    print(report.as_markdown(result))
    if out := args.out or (path and Path('work_dirs/benchmarks') / f'{path.stem}.json'):
        runs.log('wrote ' + ', '.join(map(str, report.write(result, out))))
    if result['interrupted']:
        sys.exit(130)


if __name__ == '__main__':
    cli.run_tool(main)
