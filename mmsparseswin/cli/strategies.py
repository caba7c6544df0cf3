"""mmengine's FlexibleRunner for configs that name a `strategy`: sharded training (FSDP) above all."""

from typing import Any

import torch
from mmengine.config import Config, ConfigDict

from mmsparseswin.errors import InputError

_FSDP = ('FSDPStrategy', 'mmengine.FSDPStrategy', 'mmsparseswin.FSDPStrategy')
_DDP = ('DDPStrategy', 'mmengine.DDPStrategy')
# What looks at whole tensors, of which a process has but a part.
_UNFIT_HOOKS = ('EMAHook', 'mmengine.EMAHook', 'mmsparseswin.ClipEachTensorHook')


def set_strategy(cfg: Config) -> None:
    """Choose the FlexibleRunner if the config names a `strategy` or that runner, and our FSDPStrategy for mmengine's.

    To call after :func:`mmsparseswin.cli.run_config.set_launcher`.

    Raises:
        InputError: a strategy without a type, FSDP in one process, or with parts that cannot work on shards.
    """
    if cfg.get('strategy') is None and cfg.get('runner_type') != 'FlexibleRunner':
        return
    cfg.setdefault('runner_type', 'FlexibleRunner')
    if cfg.get('strategy') is None and cfg.launcher != 'none':
        cfg.strategy = ConfigDict(type='DDPStrategy')
    strategy = cfg.get('strategy') or ConfigDict()
    if strategy and 'type' not in strategy:
        raise InputError("strategy has no type: name its class, as in strategy=dict(type='mmsparseswin.FSDPStrategy')")
    if strategy.get('type') in _DDP and not torch.cuda.is_available():
        strategy.setdefault('model_wrapper', ConfigDict(type='MMDistributedDataParallel', broadcast_buffers=False))
        strategy.model_wrapper.device_ids = None  # mmengine passes the number of a GPU
    if strategy.get('type') in _FSDP:
        strategy.type = 'mmsparseswin.FSDPStrategy'
        _check_fsdp(cfg)


def _check_fsdp(cfg: Config) -> None:
    if cfg.launcher == 'none':
        raise InputError('strategy FSDPStrategy shards over processes, and this is one: tools/dist_train.sh CONFIG N')
    if cfg.strategy.get('state_dict_cfg', 'full') != 'full':
        raise InputError(
            f"strategy.state_dict_cfg={cfg.strategy.state_dict_cfg!r}: only 'full' can be resumed and tested"
        )
    hooks: list[Any] = [*(cfg.get('custom_hooks') or []), *filter(None, (cfg.get('default_hooks') or {}).values())]
    for hook in hooks:
        if hook.get('type') in _UNFIT_HOOKS:
            raise InputError(f'{hook.type} needs whole tensors, and FSDP has shards: leave out the hook or `strategy`')
    sampler = (cfg.get('val_dataloader') or {}).get('sampler') or {}
    if sampler.get('round_up') is False:
        raise InputError(
            'val_dataloader.sampler.round_up=False: with FSDP each process must validate as many batches as the others'
        )


def drop_strategy(cfg: Config) -> None:
    """Test with the plain model, which a checkpoint of any strategy fits."""
    if cfg.pop('strategy', None) is not None and cfg.get('runner_type') == 'FlexibleRunner':
        cfg.pop('runner_type')
