"""Test a detector or a classifier and write one page of its mistakes.

    python tools/visualization/mistakes.py CONFIG CHECKPOINT                               # mistakes/report.html
    python tools/visualization/mistakes.py CONFIG --predictions work_dirs/NAME/predictions.bbox.json

The page of a detector: COCO AP, kinds of errors and what each costs (TIDE), classes, confusions, calibration, the worst
pictures with truth beside prediction, labels that may be wrong. That of a classifier: accuracy, classes, confusions,
calibration, and the surest mistakes. --predictions takes what tools/test.py wrote and tests nothing.
"""

import argparse
from pathlib import Path
from typing import Any

from mmsparseswin import cli
from mmsparseswin.errors import InputError


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='an mmdet or mmpretrain config')
    parser.add_argument('checkpoint', nargs='?', help='a file that training wrote')
    parser.add_argument('--predictions', metavar='FILE', help="a detector's boxes in COCO layout, in place of a test")
    parser.add_argument('--out-dir', default='mistakes', help='folder for the page and predictions; default mistakes')
    parser.add_argument('--score-thr', type=float, default=0.3, help='predictions shown to people; default 0.3')
    parser.add_argument('--pictures', type=int, default=24, help='pictures of each kind; default 24')
    cli.add_amp_option(parser)
    parser.add_argument('--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE')
    cli.add_trust_option(parser)
    return parser.parse_args()


def report_detector(cfg: Any, args: argparse.Namespace, page: Path) -> None:
    """Test if need be and write the page."""
    from mmsparseswin.visualization.detector_mistakes import write_detector_report
    from mmsparseswin.visualization.detector_scores import DetectorScores, load_hotcoco, read_predictions, read_truth
    from mmsparseswin.visualization.tested import coco_set, test_detector

    load_hotcoco()  # before the test
    annotations, folder, names = coco_set(cfg, 'test')
    path = args.predictions or test_detector(cfg, args.checkpoint, args.trust_checkpoint)
    truth = read_truth(annotations, names)
    scores = DetectorScores(truth, read_predictions(path, truth), names, args.score_thr)
    source = args.checkpoint if not args.predictions else args.predictions
    write_detector_report(scores, folder, args.pictures, page, f'{args.config} · {source} · {annotations}')


def report_classifier(cfg: Any, args: argparse.Namespace, page: Path) -> None:
    """Test and write the page."""
    from mmsparseswin.visualization.classifier_mistakes import write_classifier_report
    from mmsparseswin.visualization.samples import Samples
    from mmsparseswin.visualization.tested import test_classifier

    if args.predictions:
        raise InputError("--predictions takes a detector's boxes; a classifier is tested: give CHECKPOINT")
    labels, scores, indices, names = test_classifier(cfg, args.checkpoint, args.trust_checkpoint)
    samples = Samples(cfg, 'test')
    subtitle = f'{args.config} · {args.checkpoint}'
    write_classifier_report(labels, scores, indices, names, samples, args.pictures, page, subtitle)


def main() -> None:
    """Write the page."""
    args = parse_args()
    if bool(args.checkpoint) == bool(args.predictions):
        raise InputError('give CHECKPOINT to test, or --predictions FILE of a test')
    if not 0 < args.score_thr < 1 or args.pictures < 0:
        raise InputError('--score-thr must be between 0 and 1, --pictures at least 0')
    from mmsparseswin.checkpoints.training_files import check_checkpoint_file
    from mmsparseswin.cli import run_config, strategies  # slow to import; --help works without it
    from mmsparseswin.engine.safe_reader import install_safe_reader

    install_safe_reader(args.trust_checkpoint)
    cfg = run_config.load_config(args.config, args.cfg_options)
    if args.checkpoint:
        check_checkpoint_file(args.checkpoint, args.trust_checkpoint)
    run_config.set_work_dir(cfg, args.out_dir, args.config)
    run_config.set_launcher(cfg, 'none')
    strategies.drop_strategy(cfg)
    run_config.set_dataloaders(cfg)
    run_config.set_test_precision(cfg, args.amp)
    run_config.check_data(cfg, ('test',))
    page = Path(args.out_dir) / 'report.html'
    (report_detector if cfg.get('default_scope') == 'mmdet' else report_classifier)(cfg, args, page)
    print(f'report: {page}')


if __name__ == '__main__':
    cli.run_tool(main)
