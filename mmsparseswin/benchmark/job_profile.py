"""Profile training and testing by part: reading images, each part of the model, evaluation."""

import time
from collections import defaultdict
from collections.abc import Callable
from itertools import islice
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.runner.amp import autocast
from torch import nn
from torch.utils.data import DataLoader

from mmsparseswin.errors import InputError

# Timed methods of each part of a model that has them.
_METHODS = ('forward', 'loss', 'predict', 'loss_and_predict')


class Stopwatch:
    """Measure seconds by name; time of an inner name does not count for the outer one."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``function`` with its time counted under ``name``."""

        def call(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            start = _now()
            try:
                return function(*args, **kwargs)
            finally:
                taken = _now() - start
                self.seconds[name] += taken - self._inner.pop()
                self._inner[-1] += taken

        return call

    def watch(self, owner: Any, method: str, name: str) -> None:
        """Time the method of `owner` under `name`, if it exists."""
        if hasattr(owner, method):
            setattr(owner, method, self.timed(name, getattr(owner, method)))


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def profile_training(runner: Runner, cfg: Config, steps: int) -> dict[str, float]:
    """Return milliseconds per image by part, over ``steps`` training steps of which the first does not count."""
    model, watch = runner.model, Stopwatch()
    optimizer = runner.build_optim_wrapper(cfg.optim_wrapper)
    loader = _loader(cfg.train_dataloader, watch)
    _watch_model(model, watch)
    watch.watch(optimizer, 'backward', 'backward pass')
    watch.watch(optimizer, 'step', 'optimizer')
    model.train()

    def step(data: Any) -> None:
        model.train_step(data, optimizer)

    return _run(step, loader, steps, watch)


def profile_test(runner: Runner, cfg: Config, steps: int) -> dict[str, float]:
    """Return milliseconds per image by part, over ``steps`` test batches and their evaluation, by ``test_cfg.fp16``."""
    model, watch = runner.model, Stopwatch()
    loader = _loader(cfg.test_dataloader, watch)
    evaluator = runner.build_evaluator(cfg.test_evaluator)
    evaluator.dataset_meta = getattr(loader.dataset, 'metainfo', None)
    _watch_model(model, watch)
    watch.watch(evaluator, 'process', 'metric: results of an image')
    model.eval()

    @torch.no_grad()
    def step(data: Any) -> None:
        with autocast(enabled=cfg.test_cfg.get('fp16', False)):
            outputs = model.test_step(data)
        evaluator.process(data_samples=outputs, data_batch=data)

    return _run(step, loader, steps, watch, lambda: evaluator.evaluate(steps * cfg.test_dataloader.batch_size))


def _loader(cfg: Any, watch: Stopwatch) -> DataLoader:
    """Build the data loader without workers and time each transform under its name."""
    loader = Runner.build_dataloader(dict(cfg, num_workers=0, persistent_workers=False), seed=0)
    transforms = loader.dataset.pipeline.transforms
    transforms[:] = [watch.timed(f'read: {type(step).__name__}', step) for step in transforms]
    return loader


def _watch_model(model: nn.Module, watch: Stopwatch) -> None:
    """Time the model's children, their children (a list under one name) and the post-processing."""
    for name, part in model.named_children():
        for method in _METHODS:
            watch.watch(part, method, name)
        for child_name, child in part.named_children():
            for member in child if isinstance(child, nn.ModuleList) else [child]:
                watch.watch(member, 'forward', f'{name}.{child_name}')
        for inner in part.modules():
            watch.watch(inner, 'predict_by_feat', f'{name}: {type(inner).__name__} to results')


def _run(
    step: Callable[[Any], None],
    loader: DataLoader,
    steps: int,
    watch: Stopwatch,
    end: Callable[[], Any] | None = None,
) -> dict[str, float]:
    batches = iter(loader)
    step(next(batches))
    watch.seconds.clear()

    def run() -> int:
        count = 0
        for data in islice(batches, steps - 1):
            step(data)
            count += len(data['inputs'])
        return count

    images = watch.timed('the rest', run)()
    if images == 0:
        raise InputError('the data set has a single batch, and the first does not count')
    if end is not None:
        watch.timed('metric: the whole set', end)()
    parts = sorted(watch.seconds.items(), key=lambda item: -item[1])
    return {name: 1000 * seconds / images for name, seconds in parts}
