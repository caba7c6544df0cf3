"""Draw the samples of a config's data set after augmentation, as the model gets them, on contact sheets.

    python tools/visualization/browse_dataset.py CONFIG
    python tools/visualization/browse_dataset.py CONFIG --views 4 --number 6     # four draws of each of six pictures
    python tools/visualization/browse_dataset.py CONFIG --errors                 # findings of the data check
    python tools/visualization/browse_dataset.py CONFIG --split test --predictions work_dirs/NAME/predictions.segm.json

Detectors get boxes, masks and class names, crowds and ignored objects in grey; classifiers get their class. A class has
one colour in all pictures. Batch steps of the model's data_preprocessor (mixup, padding, mean and std) come later and
are not shown. --errors draws the pictures that check-data complains about, boxes at fault in red with their
ids. --predictions draws the truth beside what tools/test.py found (predictions.bbox.json, or .segm.json with masks).
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsparseswin import cli
from mmsparseswin.errors import InputError

if TYPE_CHECKING:
    from PIL import Image


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='an mmdet or mmpretrain config')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train', help='default train')
    parser.add_argument('--number', type=int, default=24, help='pictures; with --errors, of each finding; default 24')
    parser.add_argument('--views', type=int, default=1, help='draws of the augmentation for each picture; default 1')
    parser.add_argument('--shuffle', action='store_true', help='take pictures at random, not the first ones')
    parser.add_argument('--seed', type=int, default=0, help='seed of --shuffle and of the augmentation; default 0')
    parser.add_argument('--out-dir', default='browse', help='folder for the sheets; default browse')
    parser.add_argument('--columns', type=int, default=6, help='tiles in a row; default 6, or the number of --views')
    parser.add_argument('--rows', type=int, default=4, help='rows of a sheet; default 4')
    parser.add_argument('--side', type=int, default=320, help='longer side of a tile in pixels; default 320')
    parser.add_argument('--errors', action='store_true', help='show what the check of the data set complains about')
    parser.add_argument('--predictions', metavar='FILE', help='draw truth beside these predictions, COCO JSON')
    parser.add_argument('--score-thr', type=float, default=0.3, help='of --predictions; default 0.3')
    parser.add_argument('--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE')
    return parser.parse_args()


def augmented_tiles(cfg: Any, args: argparse.Namespace) -> 'list[Image.Image]':
    """Draw the samples of the split."""
    from mmengine.runner import set_random_seed

    from mmsparseswin.visualization.marks import draw_marks
    from mmsparseswin.visualization.samples import Samples
    from mmsparseswin.visualization.sheets import with_heading

    samples = Samples(cfg, args.split)
    set_random_seed(args.seed)
    tiles = []
    for index in samples.choose(args.number, args.seed, args.shuffle):
        for pixels, marks, title in samples.views(index, args.views):
            tiles.append(with_heading(draw_marks(pixels, marks, samples.names, args.side), title, lines=1))
    return tiles


def error_tiles(cfg: Any, args: argparse.Namespace) -> 'list[Image.Image]':
    """Draw the findings of the data check; print those that are about no picture."""
    if cfg.get('default_scope') != 'mmdet':
        raise InputError('--errors draws findings of COCO files; those of class folders are printed by train and test')
    from mmsparseswin.detection.data_check.datasets import inspect_config
    from mmsparseswin.visualization.flagged import flagged
    from mmsparseswin.visualization.marks import draw_marks
    from mmsparseswin.visualization.sheets import with_heading

    tiles = []
    checked = inspect_config(cfg, (args.split,))
    if not checked:
        raise InputError(f'{args.config}: {args.split}_dataloader has no COCO data set to check')
    for one in checked:
        for line in (*one.errors, *one.notes):
            print(line)
        for pixels, marks, title in flagged(one, args.number):
            tiles.append(with_heading(draw_marks(pixels, marks, (), args.side), title, lines=4))
    return tiles


def compared_tiles(cfg: Any, args: argparse.Namespace) -> 'list[Image.Image]':
    """Draw truth beside prediction."""
    if cfg.get('default_scope') != 'mmdet':
        raise InputError("--predictions takes a detector's; mistakes draws those of a classifier")
    from itertools import islice

    from mmsparseswin.visualization.compared import truth_beside_prediction
    from mmsparseswin.visualization.detector_scores import read_predictions, read_truth
    from mmsparseswin.visualization.tested import coco_set

    annotations, folder, names = coco_set(cfg, args.split)
    truth = read_truth(annotations, names)
    found = read_predictions(args.predictions, truth)
    tiles = truth_beside_prediction(truth, found, names, folder, args.score_thr, args.side)
    return list(islice(tiles, args.number))


def main() -> None:
    """Draw the sheets."""
    args = parse_args()
    for name in ('number', 'views', 'columns', 'rows'):
        if getattr(args, name) < 1:
            raise InputError(f'--{name} {getattr(args, name)}: must be at least 1')
    if not 32 <= args.side <= 4096:
        raise InputError(f'--side {args.side}: must be from 32 to 4096')
    from mmsparseswin.cli import run_config  # slow to import; --help works without it
    from mmsparseswin.visualization.sheets import contact_sheet

    cfg = run_config.load_config(args.config, args.cfg_options)
    if args.errors and args.predictions:
        raise InputError('--errors or --predictions, not both')
    if not args.errors:
        run_config.check_data(cfg, (args.split,))
    draw = error_tiles if args.errors else compared_tiles if args.predictions else augmented_tiles
    tiles = draw(cfg, args)
    if not tiles:
        print('the check finds nothing that a picture could show')
        return
    out = Path(args.out_dir)
    out.mkdir(parents=True, exist_ok=True)
    columns = args.columns if args.views == 1 else args.views
    size = columns * args.rows
    kind = 'errors' if args.errors else 'predictions' if args.predictions else args.split
    for number, first in enumerate(range(0, len(tiles), size), 1):
        contact_sheet(tiles[first : first + size], columns).save(out / f'{kind}_{number:03d}.png')
    print(f'{len(tiles)} pictures: {out}/{kind}_*.png')


if __name__ == '__main__':
    cli.run_tool(main)
