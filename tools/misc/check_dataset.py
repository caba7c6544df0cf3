"""Check the COCO data sets of a config like tools/train.py, and count their contents.

python tools/misc/check_dataset.py CONFIG [--cfg-options data_root=DIR] [--write-repaired DIR]

All errors, repairs and remarks are listed. The table counts the objects of each class: crowds, those flagged `ignore`
and those narrower than a pixel are not learnt.
"""

import argparse
from typing import TYPE_CHECKING

from mmsparseswin import cli
from mmsparseswin.errors import InputError

if TYPE_CHECKING:
    from mmsparseswin.detection.data_check.datasets import CheckedSet


def summary(one: 'CheckedSet') -> str:
    """Return lines of counts: images, objects of each class and how many of them are left to learn."""
    objects, pictures = one.verdict.objects, one.verdict.pictures
    total = sum(counts.total for counts in objects.values())
    crowds = sum(counts.crowd for counts in objects.values())
    empty = one.verdict.has_object.count(False)
    width = max(map(len, [*objects, 'class']))
    rows = [
        f'  {name:{width}}  {c.total:8}  {c.crowd:8}  {c.ignored:8}  {c.tiny:8}  {c.left:8}'
        for name, c in sorted(objects.items(), key=lambda item: -item[1].total)
    ]
    columns = f'  {"class":{width}}  {"boxes":>8}  {"crowds":>8}  {"ignored":>8}  {"tiny":>8}  {"to learn":>8}'
    return '\n'.join(
        [f'  {len(pictures)} images, {empty} of them empty; {total} boxes, {crowds} of them crowds', columns, *rows]
    )


def main() -> None:
    """Check the data sets and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='an mmdet config')
    parser.add_argument('--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE')
    parser.add_argument('--write-repaired', metavar='DIR', help='folder for repaired copies of annotation files')
    args = parser.parse_args()
    from mmsparseswin.cli import run_config  # slow to import; --help works without it
    from mmsparseswin.detection.data_check.datasets import inspect_config

    cfg = run_config.load_config(args.config, args.cfg_options)
    checked = inspect_config(cfg, repair_dir=args.write_repaired)
    if not checked:
        raise InputError(f'{args.config} has no COCO data set to check')
    said: set[str] = set()
    for one in checked:
        print(f'{one.option}: {one.verdict.path}')
        for kind, lines in (('wrong', one.errors), ('note', one.notes)):
            for line in lines:
                if line not in said:
                    print(f'  {kind}: {line}')
                said.add(line)
        if one.verdict.objects:
            print(summary(one))
    errors = list(dict.fromkeys(error for one in checked for error in one.errors))
    if errors:
        raise InputError(f'{len(errors)} findings must be mended first; the first: {errors[0]}')


if __name__ == '__main__':
    cli.run_tool(main)
