"""Measure what settings of a trained model cost, and find the best of them without training: accuracy over time.

    python tools/analysis_tools/sweep.py CONFIG CHECKPOINT --grid size=1,0.75,0.5 keep_windows=1,0.7,'(1,1,0.5,1)'
    python tools/analysis_tools/sweep.py CONFIG CHECKPOINT --search 600

Knobs of --grid; any other key of the config works too, as model.test_cfg.rcnn.nms.iou_threshold=0.5,0.6:

  size          factor of the image size of the test pipeline, e.g. 0.75
  keep_windows  windows kept, one number or one per stage in brackets; keep_windows.2 is stage 2 alone
  token_resize  SparseSwin: 'weight', 'feature' or 'tile'
  tokens        STViT-R: side of the semantic tokens of a window, 2 to 4
  proposals     proposals of the RPN that are classified (rpn.max_per_img)
  nms_pre       boxes before suppression, wherever the test has this limit
  score_thr     least score of a detection
  precision     fp32 or bf16 (autocast)
  threads       threads of PyTorch

Accuracy is that of the config's own test. Time is of one image, loaded, predicted and post-processed, in turns with
the config as it is. --search takes a time budget in seconds and, without a --grid, values of its own for image size,
windows of each stage, proposals and boxes before suppression. A point that cannot be measured is named with the reason.

WORK_DIR/points.jsonl  a line per point, as soon as it is measured; --resume goes on behind them
WORK_DIR/sweep.md      all points, and the command line of each point of the front
WORK_DIR/sweep.json    the same with all scores, machine and versions
WORK_DIR/front.png     accuracy over time
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mmsparseswin import cli
from mmsparseswin.errors import InputError
from mmsparseswin.malloc import keep_freed_memory


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='an mmdet or mmpretrain config')
    parser.add_argument('checkpoint', help='a file that training wrote')
    parser.add_argument('--grid', nargs='+', metavar='KNOB=VALUE,VALUE', help='values of each knob')
    parser.add_argument('--search', type=float, metavar='SECONDS', help='search for so long, not the whole grid')
    parser.add_argument('--method', choices=['evolution', 'random'], default='evolution', help='of the search')
    parser.add_argument('--seed', type=int, default=0, help='of the search')
    parser.add_argument(
        '--metric', help="accuracy; default: mask mAP, else box mAP, else top-1, else the evaluator's first"
    )
    parser.add_argument('--seconds', type=float, default=2.0, help='of timing per point and turn; default 2')
    parser.add_argument('--min-rounds', type=int, default=5, help='least number of images timed per point; default 5')
    parser.add_argument('--out-dir', type=Path, help='WORK_DIR, for the results; default work_dirs/sweep/<config name>')
    parser.add_argument('--resume', action='store_true', help='go on with the points that a stopped sweep left')
    parser.add_argument(
        '--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE', help='for all points'
    )
    cli.add_trust_option(parser)
    return parser.parse_args()


def main() -> None:
    """Measure the points and report the front."""
    args = parse_args()
    if args.grid is None and args.search is None:
        raise InputError('give --grid KNOB=VALUE,VALUE for all combinations, or --search SECONDS, or both')
    if args.search is not None and args.search <= 0:
        raise InputError(f'--search {args.search:g}: it is a time in seconds, above 0')
    if args.min_rounds < 1 or args.seconds < 0:
        raise InputError('--min-rounds must be at least 1, and --seconds not negative')
    # torch comes after the command line: --help answers at once
    from mmsparseswin.benchmark.sweep import knobs, report, search
    from mmsparseswin.benchmark.sweep.measure import Meter, config_of
    from mmsparseswin.checkpoints.training_files import check_checkpoint_file
    from mmsparseswin.cli import run_config
    from mmsparseswin.engine.safe_reader import install_safe_reader

    args.out_dir = args.out_dir or Path('work_dirs') / 'sweep' / Path(args.config).stem
    keep_freed_memory()
    install_safe_reader(args.trust_checkpoint)
    plain = run_config.load_config(args.config, args.cfg_options)
    check_checkpoint_file(args.checkpoint, args.trust_checkpoint)
    grid = knobs.parse_grid(args.grid) if args.grid else knobs.default_space(plain)
    for knob, values in grid.items():
        for value in values:
            config_of(args, {knob: value})  # refuses a mistake before hours of work
    run = dict(config=args.config, checkpoint=args.checkpoint, options=args.cfg_options, metric=args.metric, grid=grid)
    records = search.Records(args.out_dir / 'points.jsonl', run, args.resume)
    measure = Meter(args, records.records).measure
    steps: Iterator[float] = search.run_grid(records, grid, measure)
    if args.search is not None:
        steps = search.run_search(records, grid, measure, args.search, args.method, args.seed)
    columns = (TextColumn('{task.description}'), BarColumn(), TextColumn('left:'), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        first = next(steps)
        task = bar.add_task('Measuring', total=first)
        for left in steps:
            last = records.records[-1]
            says = last.get('error') or f'{last["metric"]} {last["accuracy"]:.4g}, {last["milliseconds"]:.1f} ms'
            bar.console.print(f'{len(records.records)}. {report.describe(last["point"])}: {says}', highlight=False)
            bar.update(task, completed=first - left)
    given = args.cfg_options or {}
    lines = {
        letter: report.command_line(plain, args.config, args.checkpoint, record['point'], given)
        for letter, record in report.name_front(records.records)
    }
    print(report.write(args.out_dir, records.records, lines))
    print(f'{args.out_dir}/sweep.md {args.out_dir}/sweep.json {args.out_dir}/front.png')


if __name__ == '__main__':
    cli.run_tool(main)
