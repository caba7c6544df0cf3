"""Draw pictures of given classes with a trained config of configs/generation.

    python tools/generate.py CONFIG CHECKPOINT --classes 3 7 --guidance 2 --steps 20 --seed 0 --out-dir samples

samples/3_000.png, 3_001.png, ... pictures, named by class and number
samples/sheet.png                 all of them, a row for each class

A picture depends on the seed, its number within its class and the options alone: more pictures, or other classes
beside it, leave it as it is.
"""

import argparse
from pathlib import Path

from mmsparseswin import cli
from mmsparseswin.errors import InputError


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='a config of configs/generation')
    parser.add_argument('checkpoint', help='a file that training wrote')
    parser.add_argument('--classes', type=int, nargs='+', metavar='LABEL', help='labels to draw; default: all')
    parser.add_argument('--count', type=int, default=10, help='pictures of each class; default 10')
    parser.add_argument('--guidance', type=float, help="1: the model's prediction as it is; more: clearer classes")
    parser.add_argument('--steps', type=int, help='steps of the sampler')
    parser.add_argument('--sampler', help='ddpm, ddim, dpm-solver++; flow-euler, flow-heun for a rectified flow')
    parser.add_argument('--seed', type=int, default=0, help='of the noise; default 0')
    parser.add_argument('--batch-size', type=int, default=100, help='pictures at once; default 100')
    parser.add_argument('--out-dir', default='samples', help='folder for the pictures; default samples')
    parser.add_argument('--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE')
    cli.add_trust_option(parser)
    args = parser.parse_args()
    for name, least in (('count', 1), ('steps', 1), ('batch_size', 1), ('seed', 0)):
        if getattr(args, name) is not None and getattr(args, name) < least:
            raise InputError(f'--{name.replace("_", "-")} {getattr(args, name)}: must be at least {least}')
    return args


def main() -> None:
    """Draw."""
    args = parse_args()
    from mmengine.registry import (  # torch comes after the command line: --help answers at once
        MODELS,
        init_default_scope,
    )
    from mmengine.runner import CheckpointLoader

    from mmsparseswin.checkpoints.training_files import check_checkpoint_file, load_or_refuse
    from mmsparseswin.cli import run_config
    from mmsparseswin.engine.safe_reader import install_safe_reader
    from mmsparseswin.generation.model import PictureDiffusion
    from mmsparseswin.generation.sheet import draw_sheet, to_image

    install_safe_reader(args.trust_checkpoint)
    cfg = run_config.load_config(args.config, args.cfg_options)
    check_checkpoint_file(args.checkpoint, args.trust_checkpoint)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    model = MODELS.build(cfg.model)
    if not isinstance(model, PictureDiffusion):
        raise InputError(f'{args.config} has a {type(model).__name__}, which draws nothing; see configs/generation')
    classes = args.classes or list(range(model.unet.num_classes))
    if wrong := [label for label in classes if not 0 <= label < model.unet.num_classes]:
        raise InputError(f'--classes {wrong[0]}: the model has the labels 0 to {model.unet.num_classes - 1}')
    checkpoint = CheckpointLoader.load_checkpoint(args.checkpoint, map_location='cpu', logger='silent')
    load_or_refuse(model, checkpoint, strict=True)
    rows = model.draw_classes(
        classes, args.count, args.seed, args.batch_size, guidance=args.guidance, steps=args.steps, sampler=args.sampler
    )
    out = Path(args.out_dir)
    out.mkdir(parents=True, exist_ok=True)
    for label, row in zip(classes, rows, strict=True):
        for index, picture in enumerate(row):
            to_image(picture).save(out / f'{label}_{index:03d}.png')
    draw_sheet(rows).save(out / 'sheet.png')
    print(f'{len(classes) * args.count} pictures: {out}/sheet.png')


if __name__ == '__main__':
    cli.run_tool(main)
