"""Write one page about the COCO data sets of a config: sizes, classes, boxes, and how they look to the model.

    python tools/visualization/dataset_report.py CONFIG          # dataset_report.html, to open in a browser

Sizes of pictures, classes, objects per picture, small, medium and large objects as stored and as the model gets them
after resizing and augmentation, anchors against objects, and the findings of the data check.
"""

import argparse
from pathlib import Path

from mmsparseswin import cli
from mmsparseswin.errors import InputError


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='an mmdet config')
    parser.add_argument('--splits', nargs='+', choices=['train', 'val', 'test'], default=['train', 'val'])
    parser.add_argument('--out', default='dataset_report.html', help='the page; default dataset_report.html')
    parser.add_argument('--samples', type=int, default=300, help='pictures to send through the pipeline; default 300')
    parser.add_argument('--seed', type=int, default=0, help='of the samples and the augmentation; default 0')
    parser.add_argument('--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE')
    return parser.parse_args()


def main() -> None:
    """Write the page."""
    args = parse_args()
    if args.samples < 1:
        raise InputError(f'--samples {args.samples}: must be at least 1')
    if Path(args.out).suffix not in ('.html', '.htm'):
        raise InputError(f'--out {args.out}: must end with .html')
    from mmengine.runner import set_random_seed  # slow to import; --help works without it

    from mmsparseswin.cli import run_config
    from mmsparseswin.visualization.dataset_facts import anchor_facts, seen_facts, stored_facts
    from mmsparseswin.visualization.dataset_page import DatasetPage, write_dataset_page
    from mmsparseswin.visualization.samples import Samples

    cfg = run_config.load_config(args.config, args.cfg_options)
    if cfg.get('default_scope') != 'mmdet':
        raise InputError(f'{args.config} is no detector: the report is about COCO data sets')
    from mmsparseswin.detection.data_check.datasets import check_config

    pages = []
    for split in dict.fromkeys(args.splits):
        checked = check_config(cfg, (split,))
        if len(checked) != 1:
            raise InputError(f'the report needs one COCO data set in {split}_dataloader; there are {len(checked)}')
        one = checked[0]
        set_random_seed(args.seed)
        seen = seen_facts(Samples(cfg, split), args.samples, args.seed)
        stored = stored_facts(one.verdict.path, one.classes)
        pages.append(DatasetPage(split, one.classes, stored, seen, anchor_facts(cfg, seen.boxes), one.notes))
    write_dataset_page(pages, Path(args.out), args.config)
    print(f'report: {args.out}')


if __name__ == '__main__':
    cli.run_tool(main)
