"""Extract features of a trained classifier and draw its attention, for images and folders of images.

    python tools/analysis_tools/extract_features.py CONFIG CHECKPOINT folder/ --out-dir features

features/features.npz      features (N, C): inputs of the classifier's last layer, float32; files (N,): the images
features/attention/...     each preprocessed image and the attention of every stage over it; that of sub/a.jpg is
                           sub/a.jpg.png
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from mmsparseswin import cli
from mmsparseswin.errors import InputError


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='an mmpretrain config')
    parser.add_argument('checkpoint', help='a file that training wrote, or .safetensors')
    parser.add_argument('images', nargs='+', help='image files and folders, searched recursively')
    parser.add_argument('--out-dir', default='features', help='folder for the results; default features')
    parser.add_argument('--batch-size', type=int, default=16, help='images per batch')
    parser.add_argument('--device', help='cpu, cuda:0, ...; default: a GPU if there is one')
    parser.add_argument('--no-pictures', action='store_true', help='write the features only')
    parser.add_argument('--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE')
    cli.add_trust_option(parser)
    return parser.parse_args()


def main() -> None:
    """Extract the features and draw the attention."""
    args = parse_args()
    if args.batch_size < 1:
        raise InputError(f'--batch-size {args.batch_size}: must be at least 1')
    from mmengine.runner import CheckpointLoader  # slow to import; --help works without it
    from mmpretrain import FeatureExtractor

    from mmsparseswin.analysis.features import features_of
    from mmsparseswin.checkpoints.training_files import check_checkpoint_file, load_or_refuse
    from mmsparseswin.cli import run_config
    from mmsparseswin.engine.safe_reader import install_safe_reader
    from mmsparseswin.image_files import batches, find_images

    install_safe_reader(args.trust_checkpoint)
    cfg = run_config.load_config(args.config, args.cfg_options)
    if cfg.get('default_scope') != 'mmpretrain':
        raise InputError(f'{args.config} is no classifier (default_scope is not mmpretrain)')
    check_checkpoint_file(args.checkpoint, args.trust_checkpoint)
    out = Path(args.out_dir)
    jobs = find_images(args.images, out / 'attention')
    run_config.set_work_dir(cfg, str(out), args.config)
    extractor = FeatureExtractor(cfg, args.checkpoint, args.device)
    # mmpretrain loads matching weights only and reports nothing about the others.
    checkpoint = CheckpointLoader.load_checkpoint(args.checkpoint, map_location='cpu', logger='silent')
    load_or_refuse(extractor.model, checkpoint, strict=True)
    files: list[str] = []
    features = []
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task('Extracting', total=len(jobs))
        for batch in batches(jobs, args.batch_size):
            features.append(features_of(extractor, batch, None if args.no_pictures else out / 'attention'))
            files += [str(job.name) for job in batch]
            bar.update(task, completed=len(files))
    if not files:
        raise InputError('none of the images could be read')
    found = np.concatenate(features)
    np.savez(out / 'features.npz', features=found, files=np.array(files))
    print(f'{found.shape[0]} images, {found.shape[1]} channels: {out}/features.npz')


if __name__ == '__main__':
    cli.run_tool(main)
