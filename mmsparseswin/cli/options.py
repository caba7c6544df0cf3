"""Options that the tools share."""

import argparse
import os
from collections.abc import Sequence
from typing import Any

from mmengine.config import DictAction


class OptionsAction(DictAction):
    """mmengine's ``key=value`` options; spaces in a path stay, and a word without ``=`` is a usage error."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Add the pairs to those given before."""
        plain, spaced = [], {}
        for pair in values or ():
            key, equals, value = pair.partition('=')
            if not equals:
                parser.error(f'{option_string}: {pair!r} is not of the form key=value')
            if ' ' in value and value[0] not in '[("\'':
                spaced[key] = value  # mmengine takes every space out
            else:
                plain.append(pair)
        super().__call__(parser, namespace, plain, option_string)
        getattr(namespace, self.dest).update(spaced)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Options that training and testing share."""
    parser.add_argument('--work-dir', help='folder for logs, checkpoints and results; default work_dirs/<config name>')
    add_amp_option(parser)
    add_trust_option(parser)
    parser.add_argument('--no-pin-memory', action='store_true', help='no pinned memory in the data loaders')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        metavar='KEY=VALUE',
        help='change the config, e.g. data_root=DIR train_dataloader.batch_size=4 model.neck.in_channels="[96,192]"',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by old launchers')


def add_amp_option(parser: argparse.ArgumentParser) -> None:
    """Add --amp and --no-amp; neither leaves the precision to MMSPARSESWIN_PRECISION and the config."""
    parser.add_argument(
        '--amp',
        action=argparse.BooleanOptionalAction,
        help='mixed precision (bfloat16 where there is no GPU), or float32; default: as the config says',
    )


def add_trust_option(parser: argparse.ArgumentParser) -> None:
    """The way around the safe reader of checkpoints."""
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help="read the checkpoint by Python's pickle, which runs any code in it with your rights. Without this option "
        'it is read as data: weights, numbers and words; files that hold code, damage or NaN are refused',
    )


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line and hand a launcher's --local-rank on as LOCAL_RANK."""
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args
