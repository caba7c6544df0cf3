"""Train by a config: what tools/train.py and `mmsparseswin.load(...).train()` share."""

import os

from mmengine.config import Config
from mmengine.runner import Runner

from mmsparseswin.checkpoints.training_files import check_checkpoint_file, checkpoint_to_resume
from mmsparseswin.cli import run_config, strategies
from mmsparseswin.cli.run_tool import rank
from mmsparseswin.engine.divergence import check_length
from mmsparseswin.errors import InputError


def train(
    cfg: Config,
    *,
    launcher: str = 'none',
    amp: bool | None = None,
    pin_memory: bool = True,
    persistent_workers: bool = True,
    epochs: int | None = None,
    max_minutes: float | None = None,
    pretrained: str | None = None,
    validate: bool = True,
    auto_scale_lr: bool = False,
    resume: str | None = None,
    trust: bool = False,
) -> Runner:
    """Train `cfg`, whose work dir is set, and return the runner; its options are those of tools/train.py.

    Args:
        cfg: the config, changed in place.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.
        amp: mixed precision, float32, or None, as the config says.
        pin_memory: pinned memory in the data loaders.
        persistent_workers: keep data loader workers from epoch to epoch.
        epochs: number of epochs, schedules stretched to it.
        max_minutes: start no epoch that would pass this limit.
        pretrained: file of weights that the backbone starts from.
        validate: evaluate during training.
        auto_scale_lr: scale the learning rate to the batch size in use.
        resume: a checkpoint to go on from, or 'auto', the last one of the work dir.
        trust: read checkpoints by pickle.

    Raises:
        InputError: a wrong config, option, checkpoint or data set.
    """
    if not cfg.get('train_dataloader') or not cfg.get('train_cfg'):
        raise InputError('the config has no train_dataloader and train_cfg: train with a config of a training')
    run_config.set_launcher(cfg, launcher)
    strategies.set_strategy(cfg)
    run_config.set_precision(cfg, amp)
    run_config.set_dataloaders(cfg, pin_memory, persistent_workers)
    if epochs is not None:
        run_config.set_epochs(cfg, epochs)
    if max_minutes is not None:
        run_config.add_hook(cfg, dict(type='mmsparseswin.StopAfterHook', minutes=max_minutes))
    if pretrained:
        run_config.set_pretrained(cfg, pretrained)
    if not validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise InputError('--auto-scale-lr: the config names no auto_scale_lr.base_batch_size to scale from')
        cfg.auto_scale_lr.enable = True
    resumed = _set_resume(cfg, resume)
    if cfg.get('load_from'):
        check_checkpoint_file(cfg.load_from, trust)
    run_config.set_checkpoint_hook(cfg)
    run_config.set_stopping(cfg)
    guard = dict(strict=resumed, resume=resumed, trust=trust)
    run_config.add_hook(cfg, dict(type='mmsparseswin.CheckpointGuardHook', **guard))
    if not any(hook['type'] == 'mmsparseswin.DivergenceHook' for hook in cfg.get('custom_hooks') or []):
        run_config.add_hook(cfg, dict(type='mmsparseswin.DivergenceHook'))
    run_config.check_data(cfg, ('train', 'val'))
    runner = run_config.build_runner(cfg)
    check_length(runner)
    runner.train()
    return runner


def saved_weights(runner: Runner) -> str:
    """Return the checkpoint of the best validation of a finished training, or its last one where no best is kept.

    Raises:
        InputError: none was saved.
    """
    saved = [runner.message_hub.get_info(name, None) for name in ('best_ckpt', 'last_ckpt')]
    if not (files := [path for path in saved if path and os.path.isfile(path)]):
        raise InputError('the training saved no checkpoint: see default_hooks.checkpoint of the config')
    return files[0]


def _set_resume(cfg: Config, resume: str | None) -> bool:
    """Name the checkpoint to start from, and return True if the training goes on from it."""
    if resume:
        cfg.resume = True
        if resume != 'auto':
            cfg.load_from = resume
    resumed = bool(cfg.get('resume'))
    if resume == 'auto' or (resumed and not cfg.get('load_from')):
        saved = checkpoint_to_resume(cfg.work_dir)
        resumed = cfg.resume = saved is not None  # otherwise `load_from`, if any, gives weights to start from
        cfg.load_from = saved or cfg.get('load_from')
        if not resumed and rank() == 0:
            print(f'nothing to resume in {cfg.work_dir}: the training starts from the beginning')
    return resumed
