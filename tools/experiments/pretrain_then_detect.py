"""Pretrain a classifier, then train a detector from its weights and from scratch, and compare the two.

    python tools/experiments/pretrain_then_detect.py --minutes 20 --out-dir DIR --cfg-options data_root=data/cifar10

The classifier trains for the given minutes, its schedule shortened to the epochs that fit. The quickstart detector then
trains twice on the embedded data set for the same epochs, from the classifier's last checkpoint and from scratch.
DIR/results.json and DIR/curves.png hold the mAP of both; the log in DIR/pretrained holds the load report.
"""

import argparse
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmsparseswin import cli
from mmsparseswin.locations import folder
from mmsparseswin.malloc import keep_freed_memory
from mmsparseswin.shapes.dataset import draw_dataset

TRAIN = Path(__file__).parents[1] / 'train.py'
CLASSIFIER = folder('configs') / 'experiments/sparseswin-quickstart_cifar10.py'
DETECTOR = folder('configs') / 'quickstart/cascade_sparseswin_shapes.py'


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--classifier', type=Path, default=CLASSIFIER, help='config of the classifier')
    parser.add_argument(
        '--detector', type=Path, default=DETECTOR, help='config of the detector, with the same backbone'
    )
    parser.add_argument(
        '--shapes', type=Path, default=Path('data/shapes'), help='folder of the embedded data set, drawn if missing'
    )
    parser.add_argument(
        '--images', type=int, nargs=2, default=[1000, 200], help='number of its training and validation images'
    )
    parser.add_argument('--minutes', type=float, required=True, help='limit of each of the three trainings')
    parser.add_argument('--detector-epochs', type=int, default=8, help='epochs of the detector; default 8')
    parser.add_argument('--out-dir', type=Path, required=True, help='folder for the results')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=cli.OptionsAction,
        metavar='KEY=VALUE',
        help='changes to the config of the classifier',
    )
    return parser.parse_args()


def main() -> None:
    """Pretrain the classifier, train both detectors and compare them."""
    args = parse_args()
    from mmengine.runner import find_latest_checkpoint  # slow to import; --help works without it

    from mmsparseswin.benchmark import equal_budget

    equal_budget.new_folder(args.out_dir)
    draw_dataset(args.shapes, tuple(args.images), size=160, seed=0)
    options = args.cfg_options or {}
    keep_freed_memory()  # as tools/train.py does
    [pace] = equal_budget.measure([args.classifier], options, args.out_dir / 'pace')
    epochs = pace.epochs(args.minutes, args.classifier)
    passed = ['--cfg-options', *(f'{name}={value}' for name, value in options.items())] if options else []
    limit = ['--max-minutes', str(args.minutes)]
    equal_budget.train(TRAIN, args.classifier, args.out_dir / 'classifier', ['--epochs', str(epochs), *limit, *passed])
    checkpoint = find_latest_checkpoint(str(args.out_dir / 'classifier'))
    results: dict[str, Any] = {
        'classifier': equal_budget.summary(args.out_dir / 'classifier', pace.batch_size),
        'runs': {},
    }
    batch_size = Config.fromfile(args.detector).train_dataloader.batch_size
    for name, start in (('pretrained', ['--pretrained', str(checkpoint)]), ('scratch', [])):
        common = ['--epochs', str(args.detector_epochs), *limit, '--cfg-options', f'data_root={args.shapes}/']
        equal_budget.train(TRAIN, args.detector, args.out_dir / name, [*start, *common, 'train_cfg.val_interval=1'])
        results['runs'][name] = equal_budget.summary(args.out_dir / name, batch_size)
        equal_budget.write_results(args.out_dir, results, by='epoch')
    print(f'{args.out_dir}/results.json {args.out_dir}/curves.png')


if __name__ == '__main__':
    cli.run_tool(main)
