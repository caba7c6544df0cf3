"""Print a config with all its bases and --cfg-options merged, or one part of it.

python tools/misc/print_config.py CONFIG [--key model.backbone] [--cfg-options KEY=VALUE ...] [--out FILE.py]
"""

import argparse
from pathlib import Path
from typing import Any

from mmsparseswin import cli
from mmsparseswin.errors import InputError


def part_of(cfg: Any, key: str) -> Any:
    """Return the value at `key`, written as in --cfg-options.

    Raises:
        InputError: there is none; the message lists what stands beside it.
    """
    value = cfg
    for place, name in enumerate(key.split('.')):
        is_list = isinstance(value, (list, tuple))
        known = (
            [str(index) for index in range(len(value))] if is_list else list(value) if hasattr(value, 'keys') else []
        )
        if name not in known:
            where = '.'.join(key.split('.')[:place]) or 'the config'
            raise InputError(f'--key {key}: {where} has {", ".join(known) or "no parts"}')
        value = value[int(name) if is_list else name]
    return value


def main() -> None:
    """Print the config."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='an mmdet or mmpretrain config')
    parser.add_argument('--key', help='print this part only, e.g. model.backbone or param_scheduler.0')
    parser.add_argument('--out', help='write the whole config to this .py file, without bases')
    parser.add_argument('--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE')
    args = parser.parse_args()
    if args.out and (args.key or not args.out.endswith('.py')):
        raise InputError('--out FILE.py takes the whole config: leave --key out')
    from mmengine.config import Config  # slow to import; --help works without it

    from mmsparseswin.cli import run_config

    cfg = run_config.load_config(args.config, args.cfg_options)
    if args.out:
        cfg.dump(args.out)
        print(Path(args.out))
    elif args.key:
        value = part_of(cfg, args.key)
        name = args.key.rpartition('.')[2]
        print(Config({name if name.isidentifier() else 'value': value}).pretty_text.strip())
    else:
        print(cfg.pretty_text.strip())


if __name__ == '__main__':
    cli.run_tool(main)
