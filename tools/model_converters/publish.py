"""Write the weights of a checkpoint for others: without optimizer, with facts and a model card.

    python tools/model_converters/publish.py CONFIG CHECKPOINT OUT_DIR --license apache-2.0 --metrics metrics.json

OUT_DIR/NAME-1a2b3c4d.safetensors    the weights; 1a2b3c4d is the start of their SHA-256, which loaders of URLs compare.
                                     Inside, as JSON: classes, config, what is known of the training
OUT_DIR/config.json                  the model: mmsparseswin.from_pretrained(OUT_DIR), push_to_hub(OUT_DIR, 'org/name')
OUT_DIR/README.md                    the model card: parameters, MACs, classes, metrics, training command, license

Averaged weights (EMA) are taken where the checkpoint has them. The file must fit the config's model exactly. What the
config says is published too, except for work_dir, load_from and the like: look for private names in it first.
`test.py CONFIG CHECKPOINT --out metrics.json --out-item metrics` writes the metrics.
"""

import argparse
import json
import math
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

from mmsparseswin import cli
from mmsparseswin.errors import InputError


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='the mmdet or mmpretrain config of the model')
    parser.add_argument('checkpoint', help='a file that training wrote')
    parser.add_argument('out_dir', metavar='OUT_DIR', help='folder for the files')
    parser.add_argument('--name', help='name of the model; default: that of the config')
    parser.add_argument('--format', choices=['safetensors', 'pth'], default='safetensors', help='default safetensors')
    parser.add_argument('--last', action='store_true', help='take the weights of the last step, not the averaged ones')
    parser.add_argument('--metrics', nargs='+', default=[], metavar='FILE|NAME=VALUE', help='scores for the card')
    parser.add_argument('--train-command', help='command of the training; default: the one in the checkpoint')
    parser.add_argument('--license', help='license of the weights, such as apache-2.0')
    parser.add_argument(
        '--shape', type=int, nargs=2, metavar='N', help='height and width to count MACs at; default as get_flops.py'
    )
    parser.add_argument('--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE')
    return parser.parse_args()


def read_metrics(given: list[str]) -> dict[str, float]:
    """Return the numbers of JSON files and of NAME=VALUE."""
    found: dict[str, float] = {}
    for one in given:
        name, equals, value = one.rpartition('=')
        if equals and not Path(one).is_file():
            try:
                found[name] = float(value)
            except ValueError:
                raise InputError(f'--metrics {one}: {value!r} is no number') from None
            continue
        try:
            content = json.loads(Path(one).read_text(encoding='utf-8'))
        except (OSError, ValueError) as error:
            raise InputError(f'--metrics {one}: {error}; give a JSON file or NAME=VALUE') from None
        numbers = {k: v for k, v in content.items() if type(v) in (int, float)} if isinstance(content, dict) else {}
        if not numbers:
            raise InputError(f'--metrics {one} holds no names with numbers; test.py --out FILE --out-item metrics does')
        found |= numbers
    if odd := [name for name, value in found.items() if not math.isfinite(value)]:
        raise InputError(f'--metrics: {odd[0]} is {found[odd[0]]}, which is no score')
    return found


def main() -> None:
    """Publish."""
    args = parse_args()
    if args.shape and min(args.shape) < 1:
        raise InputError(f'--shape {args.shape[0]} {args.shape[1]}: give a height and a width in pixels')
    metrics = read_metrics(args.metrics)
    from mmengine.runner import CheckpointLoader  # slow to import; --help works without it

    from mmsparseswin.analysis.flops_report import build, default_shape, is_detector, run
    from mmsparseswin.atomic_files import write_atomically
    from mmsparseswin.checkpoints.training_files import check_checkpoint_file, load_or_refuse
    from mmsparseswin.cli import run_config
    from mmsparseswin.cli.class_names import class_names
    from mmsparseswin.engine.safe_reader import install_safe_reader
    from mmsparseswin.hub.folders import usage_of
    from mmsparseswin.hub.model_card import Facts, model_card
    from mmsparseswin.hub.model_config import CONFIG_FILE, describe
    from mmsparseswin.hub.publishing import choose_weights, public_config, training_facts, write_published

    install_safe_reader()
    cfg = run_config.load_config(args.config, args.cfg_options)
    config = public_config(cfg.to_dict())
    check_checkpoint_file(args.checkpoint)
    content = CheckpointLoader.load_checkpoint(args.checkpoint, map_location='cpu', logger='silent')
    chosen = choose_weights(content, args.last, args.checkpoint)
    model = build(deepcopy(cfg))
    report = load_or_refuse(model, chosen.state, strict=True)
    if report.unexpected:
        raise InputError(f'the checkpoint has more than the model of {args.config}: {report}')
    names = class_names(cfg, content, model, args.checkpoint)
    training = training_facts(content, chosen.kind)
    if args.train_command:
        training['command'] = args.train_command
    shape = tuple(args.shape) if args.shape else default_shape(model)
    counts = run(model, shape, 'cpu').report.total
    folder, name = Path(args.out_dir), args.name or Path(args.config).stem
    meta = dict(dataset_meta=dict(classes=names), config_data=config, training=training)
    try:
        described = describe(model, cfg)
    except InputError as error:
        described = None
        print(f'no {CONFIG_FILE} is written: {error}', file=sys.stderr)
    path, digest = write_published(chosen.state, folder, name, f'.{args.format}', meta)
    card = Facts(
        name=name,
        model=config['model'],
        library='mmdet' if is_detector(model) else 'mmpretrain',
        classes=names,
        parameters=counts.params,
        macs=counts.macs,
        shape=shape,
        file=path.name,
        sha256=digest,
        usage=usage_of(str(folder))
        if described
        else f'from mmsparseswin.checkpoints import read_checkpoint\n\n'
        f'tensors = read_checkpoint({path.name!r}).tensors',
        metrics=metrics,
        training=training,
        license=args.license,
    )
    write_atomically(folder / 'README.md', model_card(card).encode())
    if described:
        described = replace(described, classes=names, weights=path.name)
        write_atomically(folder / CONFIG_FILE, described.to_text().encode())
    kind = {'averaged': 'the averaged weights', 'last': 'the weights of the last step'}.get(chosen.kind, 'the weights')
    print(f'{path}: {kind}, {counts.params:,} parameters, {len(names)} classes; {folder / "README.md"}')


if __name__ == '__main__':
    cli.run_tool(main)
