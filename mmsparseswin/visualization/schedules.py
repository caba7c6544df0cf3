"""The learning rate of every iteration of a config, computed by its own schedulers before training."""

import warnings
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import DATASETS, OPTIMIZERS, PARAM_SCHEDULERS, init_default_scope

from mmsparseswin.errors import InputError

_MOST = 20_000_000  # iterations to step through
_DRAWN = 4000  # points of a curve


def epoch_length(cfg: Config, processes: int) -> int:
    """Return the iterations of an epoch: the data set is read and its filters are applied, as training does.

    Raises:
        InputError: it cannot be read.
    """
    loader = cfg.train_dataloader
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    try:
        samples = -(-len(DATASETS.build(deepcopy(loader.dataset))) // processes)
    except (OSError, KeyError, ValueError, AssertionError) as error:
        raise InputError(
            f'the length of an epoch is not known, because the training data cannot be read ({error}); give it with '
            '--epoch-length ITERATIONS'
        ) from error
    batch = loader.batch_size
    return samples // batch if loader.get('drop_last') else -(-samples // batch)


def learning_rates(cfg: Config, length: int) -> np.ndarray:
    """Return the learning rate of each iteration, (iterations,), of parameters whose lr_mult is 1.

    Args:
        cfg: the config.
        length: iterations of an epoch; ignored where the config counts in iterations.

    Raises:
        InputError: a scheduler that follows losses or scores, which only a training has, or no optimizer.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    wrapper: Any = cfg.get('optim_wrapper') or {}
    if 'optimizer' not in wrapper or not cfg.get('train_cfg'):
        raise InputError('the config has no single optim_wrapper.optimizer and train_cfg: no schedule to draw')
    weights = torch.nn.Parameter(torch.zeros(1))
    optimizer = OptimWrapper(OPTIMIZERS.build({**deepcopy(wrapper.optimizer), 'params': [weights]}))
    epochs, iterations = cfg.train_cfg.get('max_epochs'), cfg.train_cfg.get('max_iters')
    total = iterations or (epochs or 0) * length
    if not 0 < total <= _MOST:
        raise InputError(f'train_cfg asks for {total} iterations; from 1 to {_MOST:,} can be drawn')
    schedulers = _build(cfg, optimizer, epochs, total, length)
    rates = np.empty(total)
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Detected call of')  # the optimizer takes no steps here
        for step in range(total):
            rates[step] = optimizer.param_groups[0]['lr']
            for scheduler in schedulers:
                if not scheduler.by_epoch:
                    scheduler.step()
            if epochs and (step + 1) % length == 0:
                for scheduler in schedulers:
                    if scheduler.by_epoch:
                        scheduler.step()
    return rates


def _build(cfg: Config, optimizer: OptimWrapper, epochs: int | None, total: int, length: int) -> list[Any]:
    entries = cfg.get('param_scheduler') or []
    schedulers = []
    for entry in entries if isinstance(entries, (list, tuple)) else [entries]:
        options = deepcopy(entry)
        options.setdefault('end', (epochs or total) if options.get('by_epoch', True) else total)  # as mmengine's Runner
        scheduler = PARAM_SCHEDULERS.build(options, default_args=dict(optimizer=optimizer, epoch_length=length))
        if (
            hasattr(scheduler, 'patience')
            or hasattr(scheduler, 'need_val_args')
            or 'Plateau' in type(scheduler).__name__
        ):
            raise InputError(
                f'{options["type"]} follows losses or scores: its learning rates are known in training only'
            )
        schedulers.append(scheduler)
    return schedulers


def draw_schedules(schedules: dict[str, tuple[np.ndarray, int | None]]) -> Figure:
    """Draw name -> (rates, iterations of an epoch or None): over epochs if all count in them, else over iterations."""
    by_epoch = all(length for _, length in schedules.values())
    figure = Figure(figsize=(8, 4.2), layout='constrained')
    panel = figure.subplots()
    for name, (rates, length) in schedules.items():
        every = max(len(rates) // _DRAWN, 1)
        start = np.arange(min(len(rates), _DRAWN))  # warm-up in full
        places = np.unique(np.concatenate([start, np.arange(0, len(rates), every), [len(rates) - 1]]))
        panel.plot(places / length if by_epoch and length else places, rates[places], linewidth=1.6, label=name)
    panel.set_xlabel('epoch' if by_epoch else 'iteration')
    panel.set_ylabel('learning rate')
    panel.grid(alpha=0.3)
    panel.set_ylim(bottom=0)
    figure.legend(loc='outside upper left', frameon=False, ncols=2)
    return figure
