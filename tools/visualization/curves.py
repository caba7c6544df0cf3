"""Draw losses and scores of trainings, while they run too, or the learning rate that a config will have.

    python tools/visualization/curves.py work_dirs/a work_dirs/b                    # curves.png, and a line per run
    python tools/visualization/curves.py work_dirs/a --keys "s?.loss_*" --by iter   # other curves
    python tools/visualization/curves.py work_dirs/a --watch 30                     # drawn anew every 30 seconds
    python tools/visualization/curves.py CONFIG.py OTHER.py                         # learning rates, before training

Runs are folders with TIME/vis_data/scalars.json, which every config here writes; a resumed run replaces what it
repeats. The learning rate of a config is computed by its own schedulers, for --processes GPUs.
"""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mmsparseswin import cli
from mmsparseswin.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('inputs', nargs='+', metavar='WORK_DIR|CONFIG', help='work dirs of trainings, or configs (.py)')
    parser.add_argument('--out', default='curves.png', help='picture to write (.png, .svg, .pdf); default curves.png')
    parser.add_argument('--keys', nargs='+', default=(), help='curves to draw; default loss, scores, lr; * and ? match')
    parser.add_argument('--by', choices=['epoch', 'iter', 'minutes'], default='epoch', help='x axis; default epoch')
    parser.add_argument('--watch', type=float, metavar='SECONDS', help='draw anew so often, until Ctrl-C')
    parser.add_argument('--processes', type=int, default=1, help='of a config: GPUs that will train; default 1')
    parser.add_argument('--epoch-length', type=int, help='of a config: iterations of an epoch; default: from the data')
    parser.add_argument('--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE')
    return parser.parse_args()


def draw_runs(args: argparse.Namespace) -> 'Figure':
    """Draw the runs and print a line of each."""
    from mmsparseswin.visualization.run_curves import choose_keys, draw_panels, read_runs, summary

    runs = read_runs(args.inputs)
    keys = choose_keys(runs, args.keys)
    print(summary(runs, keys), flush=True)
    return draw_panels(runs, keys, args.by)


def draw_configs(args: argparse.Namespace) -> 'Figure':
    """Draw the learning rates and print start, peak and end."""
    from mmsparseswin.cli import run_config
    from mmsparseswin.visualization.schedules import draw_schedules, epoch_length, learning_rates

    schedules = {}
    for path in args.inputs:
        cfg = run_config.load_config(path, args.cfg_options)
        by_epoch = bool((cfg.get('train_cfg') or {}).get('max_epochs'))
        length = args.epoch_length or (epoch_length(cfg, args.processes) if by_epoch else 1)
        rates = learning_rates(cfg, length)
        schedules[Path(path).stem] = rates, length if by_epoch else None
        peak = int(rates.argmax())
        print(
            f'{Path(path).stem}: {len(rates)} iterations{f" of {length} an epoch" if by_epoch else ""}; learning rate '
            f'{rates[0]:.3g} at first, {rates[peak]:.3g} at iteration {peak + 1}, {rates[-1]:.3g} at last'
        )
    return draw_schedules(schedules)


def main() -> None:
    """Draw."""
    args = parse_args()
    configs = [path.endswith('.py') for path in args.inputs]
    if any(configs) and not all(configs):
        raise InputError('give work dirs, or configs (.py), not both')
    if args.processes < 1 or (args.epoch_length is not None and args.epoch_length < 1):
        raise InputError('--processes and --epoch-length must be at least 1')
    if args.watch is not None and (args.watch < 1 or configs[0]):
        raise InputError('--watch SECONDS, at least 1, follows work dirs')
    out = Path(args.out)
    if out.suffix not in ('.png', '.svg', '.pdf'):
        raise InputError(f'--out {args.out}: must end with .png, .svg or .pdf')
    out.parent.mkdir(parents=True, exist_ok=True)
    while True:
        figure = draw_configs(args) if configs[0] else draw_runs(args)
        figure.savefig(out, dpi=110)
        print(f'picture: {out}', flush=True)
        if args.watch is None:
            return
        time.sleep(args.watch)


if __name__ == '__main__':
    cli.run_tool(main)
