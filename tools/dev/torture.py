"""Torture this project and count what it loses; docs/reliability.md holds the figures.

python tools/dev/torture.py kills --count 40     # SIGKILL a training, also while it saves, and resume it
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')  # losses are compared to the bit
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'tests' / 'torture'))


def kills(args: argparse.Namespace, folder: Path) -> list[str]:
    """SIGKILL a training at seeded moments, resume it, and compare it with the unbroken run."""
    from kill_training import Torture

    report = Torture(folder, args.seed).run(args.count, args.commands)
    print(report)
    return report.faults


def main() -> None:
    """Run one kind of torture; the exit code is 1 if something was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    kind = kinds.add_parser('kills', help=kills.__doc__)
    kind.set_defaults(run=kills)
    kind.add_argument('--count', type=int, default=40, help='kills; default 40')
    kind.add_argument('--commands', type=int, default=4, help='how many of them kill the command itself; default 4')
    kind.add_argument('--seed', type=int, default=0, help='of the moments; default 0')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='torture-') as folder:
        os.environ['XDG_CACHE_HOME'] = f'{folder}/cache'  # verdicts about annotation files are remembered there
        faults = args.run(args, Path(folder))
    for fault in faults:
        print(f'FAULT: {fault}')
    sys.exit(bool(faults))


if __name__ == '__main__':
    main()
