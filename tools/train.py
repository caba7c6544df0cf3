"""Train a detector (mmdet config) or a classifier (mmpretrain config).

One process, on a GPU if there is one:
    python tools/train.py CONFIG
N GPUs of this machine (or N processes, where there is none):
    tools/dist_train.sh CONFIG N
Several machines with 8 GPUs each; the same line on each, NODE_RANK 0, 1, ... and the first one's address:
    NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 PORT=29500 tools/dist_train.sh CONFIG 8
A slurm cluster, with GPUs or with CPUs alone:
    GPUS=16 tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR
    GPUS=0 TASKS=4 tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR
Go on from the last checkpoint of the work dir, or from a given one:
    python tools/train.py CONFIG --resume
    python tools/train.py CONFIG --resume work_dirs/NAME/epoch_7.pth
SIGTERM and Ctrl-C save a checkpoint of the iteration at hand and end with exit code 143 or 130; --resume goes on there.
Start from the weights of a classifier trained here, or of any source; the log says what fitted:
    python tools/train.py CONFIG --pretrained work_dirs/CLASSIFIER/epoch_100.pth
Fewer epochs, with all schedules shortened alike, and not longer than an hour:
    python tools/train.py CONFIG --epochs 12 --max-minutes 60
Mixed precision (--no-amp: float32); the learning rate scaled to the batch size in use; any value of the config changed:
    python tools/train.py CONFIG --amp --auto-scale-lr --cfg-options data_root=DIR train_dataloader.batch_size=4
"""

import argparse

from mmsparseswin import cli
from mmsparseswin.malloc import keep_freed_memory


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='an mmdet or mmpretrain config')
    cli.add_run_options(parser)
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate to the batch size in use')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='from this checkpoint, or without a path from the last of the work dir',
    )
    parser.add_argument(
        '--pretrained', metavar='FILE', help='weights that the backbone starts from, of any known source'
    )
    parser.add_argument('--epochs', type=int, help='train so many epochs, schedules stretched to them')
    parser.add_argument('--max-minutes', type=float, help='end in time: start no epoch that would pass this limit')
    parser.add_argument('--no-validate', action='store_true', help='no evaluation during training')
    parser.add_argument(
        '--no-persistent-workers', action='store_true', help='start data loader workers anew each epoch'
    )
    return cli.parse(parser)


def main() -> None:
    """Train."""
    args = parse_args()
    from mmsparseswin.cli import run_config  # torch comes after the command line: --help answers at once
    from mmsparseswin.cli.training import train
    from mmsparseswin.engine.safe_reader import install_safe_reader

    keep_freed_memory()
    install_safe_reader(args.trust_checkpoint)
    cfg = run_config.load_config(args.config, args.cfg_options)
    run_config.set_work_dir(cfg, args.work_dir, args.config)
    train(
        cfg,
        launcher=args.launcher,
        amp=args.amp,
        pin_memory=not args.no_pin_memory,
        persistent_workers=not args.no_persistent_workers,
        epochs=args.epochs,
        max_minutes=args.max_minutes,
        pretrained=args.pretrained,
        validate=not args.no_validate,
        auto_scale_lr=args.auto_scale_lr,
        resume=args.resume,
        trust=args.trust_checkpoint,
    )


if __name__ == '__main__':
    cli.run_tool(main)
