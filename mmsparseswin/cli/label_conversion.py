"""Options and last step that the converters of labels share."""

import argparse
import os
import sys
from pathlib import Path

from mmsparseswin.errors import InputError
from mmsparseswin.label_formats.coco_file import split_off, write_folder
from mmsparseswin.label_formats.problems import Problems
from mmsparseswin.label_formats.records import LabelledData


def add_conversion_options(parser: argparse.ArgumentParser, splits: bool = True) -> None:
    """Add the folders and what happens to pictures and faults; `splits` adds --val and --seed."""
    parser.add_argument('source', type=Path, help='where the labels and pictures are')
    parser.add_argument('out', type=Path, help='folder to write annotations/instances_SPLIT.json into')
    parser.add_argument(
        '--copy-to',
        metavar='FOLDER',
        help='copy the pictures into OUT/FOLDER; {split} in it stands for train, val, test',
    )
    parser.add_argument('--leave-out', action='store_true', help='leave out what is at fault, in place of stopping')
    if splits:
        parser.add_argument('--val', type=float, metavar='PART', help='move this part of the pictures to a split val')
        parser.add_argument('--seed', type=int, default=0, help='seed of that draw; default 0')


def finish(data: LabelledData, problems: Problems, args: argparse.Namespace) -> None:
    """Name all faults on stderr, write the COCO files, and say what is in them.

    Raises:
        InputError: there are faults and no --leave-out, or nothing is left; nothing is written.
    """
    target = os.path.normpath(args.out / (args.copy_to or '.'))
    if not Path(target).is_relative_to(os.path.normpath(args.out)):
        raise InputError(f'--copy-to {args.copy_to!r} leads out of {args.out}')
    for line in problems.lines:
        print(line, file=sys.stderr)
    count = len(problems.lines)
    if count and not args.leave_out:
        raise InputError(f'{count} faults above, nothing written: mend them, or leave them out by --leave-out')
    if empty := [split for split, pictures in data.splits.items() if not pictures]:
        raise InputError(f'no picture is left in {", ".join(empty)}; nothing written')
    if not data.classes:
        raise InputError('no object in any picture; nothing written')
    if getattr(args, 'val', None) is not None:
        data = split_off(data, args.val, args.seed)
    for split, (path, folder) in write_folder(data, args.out, args.copy_to).items():
        objects = sum(len(picture.instances) for picture in data.splits[split])
        print(f'{split}: {len(data.splits[split])} pictures, {objects} objects: {path}; pictures in {folder}')
    print(f'classes: {", ".join(data.classes)}')
    for note in data.notes:
        print(note)
    if count:
        print(f'{count} faults left out, named on stderr')
