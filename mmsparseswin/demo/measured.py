"""Predict one picture by two models or settings, and measure what each costs."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from torch import nn

from mmsparseswin.analysis.flops import Report, count_flops
from mmsparseswin.backbones.swin_family import SwinFamily
from mmsparseswin.demo.models import LOWEST, Models
from mmsparseswin.easy import Model, Result
from mmsparseswin.errors import InputError

TURNS = 3  # timed predictions of each


@dataclass
class Measured:
    """A prediction and what it cost."""

    result: Result
    seconds: float  # of the whole call, reading the file and making boxes included; the median of the turns
    macs: int  # of the network on this picture; heads cost what they get boxes
    backbone: int  # of them, the backbone's
    params: int


def compare(models: Models, settings: Sequence[tuple[str, float]], path: Path) -> list[Measured]:
    """Predict a picture by several models or settings in turns, and measure them.

    Args:
        models: of the page.
        settings: name of the model, and the share of its windows that it computes; 1 leaves it as configured.
        path: the picture.

    Raises:
        InputError: a share for a model that cannot leave windows out.
    """
    with models.running() as running:
        seconds: list[list[float]] = [[] for _ in settings]
        results: list[Any] = [None for _ in settings]
        for turn in range(TURNS + 1):  # the first one warms up
            for index, (name, share) in enumerate(settings):
                with _share_of_windows(running[name].network, share):
                    start = time.perf_counter()
                    results[index] = running[name].predict(path, score=LOWEST, progress=False)[0]
                    if turn:
                        seconds[index].append(time.perf_counter() - start)
        reports = [_count(running[name], share, path) for name, share in settings]
    return [
        Measured(
            result,
            median(took),
            report.total.macs,
            report.modules['network.backbone'].macs,
            report.total.params,
        )
        for result, took, report in zip(results, seconds, reports, strict=True)
    ]


@contextmanager
def _share_of_windows(network: nn.Module, share: float) -> Iterator[None]:
    """Compute a share of the windows in the context; 1 leaves the model as it is configured."""
    if share == 1:
        yield
        return
    found = (module for module in network.modules() if isinstance(module, SwinFamily))
    backbone = next((one for one in found if any(getattr(stage, 'leaves_out', False) for stage in one.stages)), None)
    if backbone is None:
        raise InputError('this model cannot leave windows out: give it a share of 1, or choose one with Swin windows')
    kept, threshold = backbone.keep_windows, backbone.keep_threshold
    backbone.set_keep_windows(share, threshold)
    try:
        yield
    finally:
        backbone.set_keep_windows(kept, threshold)


class _Call(nn.Module):
    """A prediction as a call of a module, as the counter wants it."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network, self._predict = model.network, model.predict

    def forward(self, path: Path) -> None:
        self._predict(path, score=LOWEST, progress=False)


def _count(model: Model, share: float, path: Path) -> Report:
    with _share_of_windows(model.network, share):
        return count_flops(_Call(model).eval(), path)
