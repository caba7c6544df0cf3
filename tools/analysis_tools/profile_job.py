"""Profile a training or test by part: reading, each part of the model, evaluation, in milliseconds per image.

    python tools/analysis_tools/profile_job.py configs/cascade_sparseswin_coco.py --cfg-options data_root=data/coco/
    python tools/analysis_tools/profile_job.py CONFIG --checkpoint epoch_12.pth --test --batches 20

Everything runs in one process, so the work of data loader workers counts too. An untrained detector finds nothing;
--cfg-options model.test_cfg.rcnn.score_thr=0 makes it return as many boxes as a test allows.
"""

import argparse
import tempfile

from mmsparseswin import cli
from mmsparseswin.errors import InputError
from mmsparseswin.malloc import keep_freed_memory


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='an mmdet or mmpretrain config')
    parser.add_argument('--checkpoint', help='weights; random by default')
    parser.add_argument('--test', action='store_true', help='profile prediction and evaluation instead of training')
    parser.add_argument('--batches', type=int, default=8, help='number of batches; the first does not count')
    cli.add_amp_option(parser)
    parser.add_argument('--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE')
    cli.add_trust_option(parser)
    return parser.parse_args()


def main() -> None:
    """Profile the job and print a table."""
    args = parse_args()
    if args.batches < 2:
        raise InputError(f'--batches {args.batches}: must be at least 2, the first does not count')
    from mmengine.runner import CheckpointLoader  # slow to import; --help works without it

    from mmsparseswin.benchmark.job_profile import profile_test, profile_training
    from mmsparseswin.checkpoints.training_files import check_checkpoint_file, load_or_refuse
    from mmsparseswin.cli import run_config
    from mmsparseswin.engine.safe_reader import install_safe_reader

    keep_freed_memory()
    install_safe_reader(args.trust_checkpoint)
    cfg = run_config.load_config(args.config, args.cfg_options)
    run_config.set_launcher(cfg, 'none')
    if args.checkpoint:  # read first: a bad file is refused before data is looked at and a model is built
        check_checkpoint_file(args.checkpoint, args.trust_checkpoint)
        checkpoint = CheckpointLoader.load_checkpoint(args.checkpoint, map_location='cpu', logger='silent')
    run_config.set_precision(cfg, args.amp)
    run_config.set_test_precision(cfg, args.amp)
    run_config.set_dataloaders(cfg)
    with tempfile.TemporaryDirectory() as work_dir:
        cfg.work_dir, cfg.log_level = work_dir, 'WARNING'
        run_config.check_data(cfg, ('test',) if args.test else ('train',))
        runner = run_config.build_runner(cfg)
        if args.checkpoint:
            load_or_refuse(runner.model, checkpoint, strict=True)
        parts = (profile_test if args.test else profile_training)(runner, cfg, args.batches)
    total = sum(parts.values())
    print(f'| part | ms per image | share |\n|---|---|---|\n| all | {total:.1f} | 100 % |')
    for name, taken in parts.items():
        print(f'| {name} | {taken:.1f} | {taken / total:.1%} |')


if __name__ == '__main__':
    cli.run_tool(main)
