"""Measure one point of a sweep: accuracy by the config's evaluator, time in turns with the config as it is, memory."""

import argparse
import contextlib
import gc
import itertools
import tempfile
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner.amp import autocast

from mmsparseswin.benchmark.sweep.knobs import Point, options_of
from mmsparseswin.benchmark.timing import Step, peak_memory, rounds, speedup, time_cpu, time_cuda
from mmsparseswin.cli import run_config, strategies
from mmsparseswin.errors import InputError

# The first of these that an evaluator returns is the accuracy; --metric names another.
METRICS = ('coco/segm_mAP', 'coco/bbox_mAP', 'accuracy/top1', 'pascal_voc/mAP')
_WARM_UP = 2


class Model:
    """A model as one point sets it, with the data set of its test.

    Args:
        args: command line of the tool.
        point: knobs.
        images: that one step predicts.
    """

    def __init__(self, args: argparse.Namespace, point: Point, images: int = 1) -> None:
        self.images = images
        self.cfg = config_of(args, point)
        run_config.check_data(self.cfg, ('test',))
        self.threads = point.get('threads')
        self.runner = quietly(lambda: run_config.build_runner(self.cfg))
        self._turn = itertools.count()

    @property
    def device(self) -> str:
        """Return 'cpu' or 'cuda'."""
        return next(self.runner.model.parameters()).device.type

    def load(self) -> None:
        """Load the weights alone."""
        quietly(self.runner.load_or_resume)

    def score(self) -> dict[str, float]:
        """Return what the config's evaluator says of the whole test set; the weights are loaded here."""
        with self._settings():
            metrics = quietly(self.runner.test) or {}
        return {name: float(value) for name, value in metrics.items() if isinstance(value, (int, float))}

    def step(self) -> None:
        """Load the next images, predict them and post-process them."""
        data_set = self.runner.test_loop.dataloader.dataset
        samples = [data_set[next(self._turn) % len(data_set)] for _ in range(self.images)]
        data = self.runner.test_loop.dataloader.collate_fn(samples)
        with self._settings(), torch.no_grad(), autocast(enabled=self.cfg.test_cfg.get('fp16', False)):
            self.runner.model.eval().test_step(data)

    @contextlib.contextmanager
    def _settings(self) -> Any:
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads or before)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def config_of(args: argparse.Namespace, point: Point) -> Config:
    """Return the config of a point, ready for a test.

    Raises:
        InputError: as :func:`mmsparseswin.benchmark.sweep.knobs.options_of` and the config's own checks.
    """
    plain = run_config.load_config(args.config, args.cfg_options)
    cfg = run_config.load_config(args.config, {**(args.cfg_options or {}), **options_of(plain, point)})
    run_config.set_work_dir(cfg, str(args.out_dir / 'logs'), args.config)
    run_config.set_launcher(cfg, 'none')
    strategies.drop_strategy(cfg)
    for name in ('test_dataloader', 'val_dataloader'):
        if cfg.get(name):
            cfg[name].update(num_workers=0, persistent_workers=False)
    run_config.set_dataloaders(cfg)
    run_config.set_test_precision(cfg, None)
    run_config.add_hook(cfg, dict(type='mmsparseswin.CheckpointGuardHook', strict=True, trust=args.trust_checkpoint))
    cfg.load_from, cfg.resume, cfg.log_level = args.checkpoint, False, 'ERROR'
    cfg.experiment_name = f'sweep_{time.monotonic_ns()}'  # mmengine wants a unique name per runner of a process
    return cfg


def quietly(function: Callable[[], Any]) -> Any:
    """Call ``function`` with its prints, COCO's tables, out of the way of the sweep's own table."""
    with tempfile.TemporaryFile('w') as void, contextlib.redirect_stdout(void):
        return function()


class Meter:
    """Measure points beside the config as it is.

    Args:
        args: command line of the tool.
        records: of a stopped sweep.
    """

    def __init__(self, args: argparse.Namespace, records: Sequence[dict[str, Any]] = ()) -> None:
        self.args = args
        self._base: Model | None = None
        self._record = next((record for record in records if not record['point']), None)  # of the config as it is
        self._known: dict[str, dict[str, float]] = {}

    def measure(self, point: Point) -> dict[str, Any]:
        """Return accuracy, milliseconds per image, speed-up over the config as it is, and memory of a point.

        Raises:
            InputError: the point cannot be measured.
        """
        if self._base is None:
            self._base = Model(self.args, {})
            if self._record is not None:
                self._base.load()
        base = self._base
        if self._record is None or not point:
            scores = self._scores(base)
            seconds = self._times({'base': base})['base']
            self._record = self._found(base, scores, self._name_of(scores), 1000 * median(seconds), 1.0, seconds)
            if not point:
                return self._record
        model = Model(self.args, point)
        scores, metric = self._scores(model), self._record['metric']
        times = self._times({'base': base, 'point': model})
        ratio = speedup(times['point'], times['base'])
        # Of the time of the config as it is in one place: the machine drifts from point to point.
        milliseconds = self._record['milliseconds'] / ratio.median
        scores = scores or {metric: 0.0}  # COCO's evaluator returns nothing where nothing is found
        found = self._found(model, scores, metric, milliseconds, ratio.median, times['point'])
        del model
        gc.collect()
        return found | dict(quartiles=[ratio.q1, ratio.q3])

    def _found(
        self, model: Model, scores: dict[str, float], metric: str, ms: float, ratio: float, seconds: Sequence[float]
    ) -> dict[str, Any]:
        memory = peak_memory(model.step, model.device)
        return dict(
            accuracy=scores[metric],
            metric=metric,
            scores=scores,
            milliseconds=ms,
            speedup=ratio,
            rounds=len(seconds),
            memory=memory,
        )

    def _name_of(self, scores: dict[str, float]) -> str:
        """Return the name of the accuracy among the scores of the config as it is."""
        name = self.args.metric or next((name for name in METRICS if name in scores), next(iter(scores), 'accuracy'))
        if name not in scores:
            raise InputError(f'--metric {name}: the evaluator returns {", ".join(scores) or "nothing"}')
        return name

    def _scores(self, model: Model) -> dict[str, float]:
        key = f'{model.cfg.model} {model.cfg.test_dataloader} {model.cfg.test_cfg}'
        if key in self._known:  # it differs in threads alone
            model.load()
        else:
            self._known[key] = model.score()
        return self._known[key]

    def _times(self, models: dict[str, Model]) -> dict[str, list[float]]:
        """Return the seconds of each round."""
        steps: dict[str, Step] = {name: model.step for name, model in models.items()}
        for step in list(steps.values()) * _WARM_UP:
            step()
        timer = time_cuda if next(iter(models.values())).device == 'cuda' else time_cpu
        found = list(rounds(steps, timer, self.args.min_rounds, self.args.seconds))
        return {name: [one[name] for one in found] for name in steps}
