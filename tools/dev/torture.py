"""Torture this project and count what it loses; docs/reliability.md holds the figures.

python tools/dev/torture.py kills --count 40          # SIGKILL a training, also while it saves, and resume it
python tools/dev/torture.py pictures                  # predict 52 odd pictures
python tools/dev/torture.py hostile                   # feed files that run code to every route
python tools/dev/torture.py mutations --count 12000   # damage an annotation file
python tools/dev/torture.py memory --iterations 300   # watch the memory of a training and a test
python tools/dev/torture.py start                     # check annotation files of full COCO's size
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')  # losses are compared to the bit
TESTS = Path(__file__).resolve().parents[2] / 'tests'
sys.path[:0] = [str(TESTS / name) for name in ('torture', 'tools', 'security', 'detection')]


def kills(args: argparse.Namespace, folder: Path) -> list[str]:
    """SIGKILL a training at seeded moments, resume it, and compare it with the unbroken run."""
    from kill_training import Torture

    report = Torture(folder, args.seed).run(args.count, args.commands)
    print(report)
    return report.faults


def pictures(args: argparse.Namespace, folder: Path) -> list[str]:
    """Predict odd pictures by tools/predict.py: each is predicted or named in one line."""
    from kill_training import write_config
    from odd_pictures import predict

    config = write_config(folder, epochs=1)
    outcome = predict(folder, config, _train(config, folder))
    print(outcome)
    return outcome.lost


def hostile(args: argparse.Namespace, folder: Path) -> list[str]:
    """Feed files that run code to every route, read by mmengine and by this project."""
    from count import count
    from tiny import draw_coco, write_classifier, write_detector

    (folder / 'classes/a').mkdir(parents=True)
    schedule = "param_scheduler = [dict(type='MultiStepLR', milestones=[1], by_epoch=True)]"
    detector = write_detector(folder, draw_coco(folder / 'coco'), schedule)
    classifier = write_classifier(folder, folder / 'classes')
    counts = count(_train(detector, folder), detector, classifier, folder)
    return [f'{route}: {ours} files ran code' for route, (_, ours) in counts.items() if ours]


def mutations(args: argparse.Namespace, folder: Path) -> list[str]:
    """Damage an annotation file in seeded ways: refused, repaired or said, never silent."""
    from coco_fuzzer import report

    return report(range(args.count), folder)


def memory(args: argparse.Namespace, folder: Path) -> list[str]:
    """Watch the memory of a training and a test: a leak grows what malloc has given out, too."""
    from memory_growth import growth, measure

    faults = []
    for name, sizes in measure(folder, args.iterations).items():
        resident, allocated = (growth(column) for column in sizes.T)
        print(
            f'{name}: {len(sizes)} iterations, {sizes[:, 0].max() / 1e6:.0f} MB at most; from the second to the last '
            f'quarter {resident / 1e6:+.1f} MB resident, {allocated / 1e6:+.2f} MB given out by malloc'
        )
        faults += [f'{name} grew'] if resident > 0.02 * sizes[:, 0].max() or allocated > 2e6 else []
    return faults


def start(args: argparse.Namespace, folder: Path) -> list[str]:
    """Check annotation files of full COCO's size by tools/misc/check_dataset.py, twice."""
    from coco_sized import check_twice

    large, runs = check_twice(folder)
    print(f'{large.stat().st_size / 1e6:.0f} MB')
    for name, run in zip(('a tiny set', 'the first time', 'the second time'), runs, strict=True):
        print(f'{name}: {run}')
    print(next((line for line in runs[1].out.splitlines() if line.startswith('checking ')), 'said nothing'))
    return [run.err for run in runs if run.code]


def _train(config: Path, folder: Path) -> Path:
    """Train by `config` and return its last checkpoint."""
    command = [sys.executable, str(TESTS.parent / 'tools/train.py'), str(config), '--work-dir', str(folder / 'run')]
    subprocess.run([*command, '--no-validate', '--no-amp'], check=True, stdout=subprocess.DEVNULL, cwd=folder)
    return Path((folder / 'run/last_checkpoint').read_text())


def main() -> None:
    """Run one kind of torture; the exit code is 1 if something was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    kind = kinds.add_parser('kills', help=kills.__doc__)
    kind.set_defaults(run=kills)
    kind.add_argument('--count', type=int, default=40, help='kills; default 40')
    kind.add_argument('--commands', type=int, default=4, help='how many of them kill the command itself; default 4')
    kind.add_argument('--seed', type=int, default=0, help='of the moments; default 0')
    for run in (pictures, hostile, start):
        kinds.add_parser(run.__name__, help=run.__doc__).set_defaults(run=run)
    for run, option, default in ((mutations, '--count', 12_000), (memory, '--iterations', 300)):
        kind = kinds.add_parser(run.__name__, help=run.__doc__)
        kind.set_defaults(run=run)
        kind.add_argument(option, type=int, default=default, help=f'default {default}')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='torture-') as folder:
        os.environ['XDG_CACHE_HOME'] = f'{folder}/cache'  # verdicts about annotation files are remembered there
        faults = args.run(args, Path(folder))
    for fault in faults:
        print(f'FAULT: {fault}')
    sys.exit(bool(faults))


if __name__ == '__main__':
    main()
