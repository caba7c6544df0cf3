"""Train several configs one after the other, each for the same minutes, and compare what they reach.

    python tools/experiments/equal_budget.py CONFIG CONFIG ... --minutes 60 --out-dir DIR

The pace of each config, measured on a few steps in turns, gives the number of epochs that fit into the minutes. The
schedule is shortened to them, so that every learning rate is annealed within the budget. Leave the machine idle
otherwise.

DIR/results.json   of each config: parameters, epochs, accuracy, images per second (in turns, and of the training)
DIR/curves.png     loss and accuracy over minutes
DIR/NAME/          the work dir of each training
"""

import argparse
from pathlib import Path
from typing import Any

from mmsparseswin import cli
from mmsparseswin.errors import InputError
from mmsparseswin.malloc import keep_freed_memory

TRAIN = Path(__file__).parents[1] / 'train.py'


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='+', type=Path, help='configs that are trained by epochs')
    parser.add_argument('--minutes', type=float, required=True, help='budget of each training, validation included')
    parser.add_argument(
        '--epochs',
        type=int,
        help='number of epochs of each training, instead of those that fit; the minutes still limit it',
    )
    parser.add_argument('--out-dir', type=Path, required=True, help='folder for the results')
    parser.add_argument(
        '--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE', help='for all configs'
    )
    return parser.parse_args()


def main() -> None:
    """Train every config and compare the results."""
    args = parse_args()
    names = [config.stem for config in args.configs]
    if len(set(names)) < len(names):
        raise InputError('two configs have the same file name, which names the folder of results: rename one')
    import torch  # slow to import; --help works without it

    from mmsparseswin.benchmark import equal_budget

    options = args.cfg_options or {}
    pairs = [f'{name}={value}' for name, value in options.items()]
    passed = ['--cfg-options', *pairs] if pairs else []
    equal_budget.new_folder(args.out_dir)
    results: dict[str, Any] = {'minutes': args.minutes, 'threads': torch.get_num_threads(), 'runs': {}}
    keep_freed_memory()  # as tools/train.py does
    paces = equal_budget.measure(args.configs, options, args.out_dir / 'pace')
    plan = [args.epochs or pace.epochs(args.minutes, config) for config, pace in zip(args.configs, paces, strict=True)]
    for config, pace, epochs in zip(args.configs, paces, plan, strict=True):
        work_dir = args.out_dir / config.stem
        equal_budget.train(
            TRAIN, config, work_dir, ['--epochs', str(epochs), '--max-minutes', str(args.minutes), *passed]
        )
        results['runs'][config.stem] = {
            'parameters': pace.parameters,
            'images_per_second, in turns': round(pace.images_per_second, 1),
            **equal_budget.summary(work_dir, pace.batch_size),
        }
        equal_budget.write_results(args.out_dir, results, by='minutes')
    print(f'{args.out_dir}/results.json {args.out_dir}/curves.png')


if __name__ == '__main__':
    cli.run_tool(main)
