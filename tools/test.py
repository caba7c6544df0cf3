"""Evaluate a checkpoint of a detector (mmdet config) or a classifier (mmpretrain config).

    python tools/test.py CONFIG CHECKPOINT
    tools/dist_test.sh CONFIG CHECKPOINT GPUS

Detections are written as COCO JSON into the work dir; `--show-dir DIR` draws them beside the truth, `--out` keeps the
raw predictions (.pkl) or, with `--out-item metrics`, the scores (.json). CHECKPOINT may be a file of mmsparseswin
export, .onnx or .xml, which runs on the CPU.
"""

import argparse

import mmengine

from mmsparseswin import cli
from mmsparseswin.errors import InputError
from mmsparseswin.malloc import keep_freed_memory


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='an mmdet or mmpretrain config')
    parser.add_argument('checkpoint', help='a file that training wrote, .safetensors, or an exported .onnx or .xml')
    cli.add_run_options(parser)
    parser.add_argument('--out', help='file for predictions (.pkl), or for metrics (.json, .yml, .pkl)')
    parser.add_argument('--out-item', choices=['metrics', 'pred'], help='what --out gets; default pred')
    parser.add_argument('--show', action='store_true', help='show pictures in a window')
    parser.add_argument('--show-dir', help='folder for pictures')
    parser.add_argument('--interval', type=int, default=1, help='one picture for so many images')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds that --show shows a picture')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation: of the config, or flips')
    return cli.parse(parser)


def check_out(out: str | None, item: str | None) -> None:
    """Refuse an --out that could not be written once the test is over."""
    if out is None and item is not None:
        raise InputError('--out-item says what to write, --out FILE must say where')
    kinds = ('.json', '.yml', '.yaml', '.pkl', '.pickle') if item == 'metrics' else ('.pkl', '.pickle')
    if out is not None and not out.endswith(kinds):
        raise InputError(f'--out {out}: {item or "pred"} can be written to {" or ".join(kinds)}')


def main() -> None:
    """Evaluate."""
    args = parse_args()
    check_out(args.out, args.out_item)
    if args.interval < 1:
        raise InputError(f'--interval {args.interval}: must be at least 1')
    # torch comes after the command line: --help answers at once
    from mmsparseswin.checkpoints.training_files import check_checkpoint_file
    from mmsparseswin.cli import evaluation_config, run_config
    from mmsparseswin.cli.evaluation import Pictures, evaluate
    from mmsparseswin.cli.exported_predictor import is_exported
    from mmsparseswin.engine.safe_reader import install_safe_reader

    keep_freed_memory()
    install_safe_reader(args.trust_checkpoint)
    cfg = run_config.load_config(args.config, args.cfg_options)
    if not is_exported(args.checkpoint):
        check_checkpoint_file(args.checkpoint, args.trust_checkpoint)  # before a work dir is made
    run_config.set_work_dir(cfg, args.work_dir, args.config)
    drawn = Pictures(args.show_dir, args.show, args.interval, args.wait_time)
    metrics, runner, json_files = evaluate(
        cfg,
        args.checkpoint,
        launcher=args.launcher,
        amp=args.amp,
        pin_memory=not args.no_pin_memory,
        tta=args.tta,
        pictures=drawn if args.show or args.show_dir else None,
        dump=args.out if args.out_item != 'metrics' else None,
        trust=args.trust_checkpoint,
    )
    if cli.rank() > 0:
        return
    if args.out and args.out_item == 'metrics':
        mmengine.dump(metrics, args.out)
    evaluation_config.report_files(runner.logger, json_files, args.show_dir, args.out)


if __name__ == '__main__':
    cli.run_tool(main)
