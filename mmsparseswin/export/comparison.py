"""Run a file in its runtime beside eager PyTorch: the largest differences, and the time of one image."""

import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from mmsparseswin.errors import InputError
from mmsparseswin.runtime.engines import open_engine

# Allowed difference, as a part of the largest value of the output. Rounding alone makes some 1e-6.
ALLOWED = 1e-4
_ROUNDS, _SECONDS = 9, 10.0  # rounds of timing at most, and about how long they may take

Run = Callable[[np.ndarray], Sequence[np.ndarray]]


class Difference(NamedTuple):
    """The largest difference of an output over all pictures, and the largest value that eager gave."""

    difference: float
    largest: float

    @property
    def relative(self) -> float:
        """The difference as a part of the largest value."""
        return self.difference / self.largest if self.largest else self.difference


class FileDiffersError(InputError):
    """The file computes other numbers than the model."""


def open_file(name: str, path: Path) -> Run:
    """Load a file of the format `name` by its runtime, on as many threads as PyTorch uses."""
    if name in ('onnx', 'openvino'):
        engine = open_engine(path, torch.get_num_threads())
        return lambda images: engine.run(images)
    if name == 'torchscript':
        module = torch.jit.load(path)
    else:
        module = torch.export.load(path).module()
    return lambda images: _by_torch(module, images)


def eager(module: nn.Module) -> Run:
    """Run a module as users do, our fast paths included."""
    return lambda images: _by_torch(module, images)


def _by_torch(module: Any, images: np.ndarray) -> list[np.ndarray]:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return [one.numpy() for one in module(torch.from_numpy(images))]


def compare(ours: Run, theirs: Run, images: np.ndarray, batch: bool, outputs: Sequence[str]) -> dict[str, Difference]:
    """Compare all outputs of all images: each alone, and if `batch`, all at once, too.

    Raises:
        FileDiffersError: a file that its runtime cannot run, an output of another shape, one that is not finite, or a
            difference above `ALLOWED`.
    """
    groups = [images[i : i + 1] for i in range(len(images))]
    if batch:
        groups.append(np.concatenate([images, images[:1]]))  # never the number that was traced
    found = dict.fromkeys(outputs, Difference(0.0, 0.0))
    for group in groups:
        wanted, given = ours(group), _try(theirs, group, batch)
        if [one.shape for one in wanted] != [one.shape for one in given]:
            raise FileDiffersError(
                f'the file gives {[one.shape for one in given]}, and the model {[one.shape for one in wanted]}'
            )
        for name, one, other in zip(outputs, wanted, given, strict=True):
            if not (np.isfinite(one).all() and np.isfinite(other).all()):
                raise FileDiffersError(f'{name} is not finite: look at the weights and at the pictures')
            before = found[name]
            difference, largest = float(np.abs(one - other).max()), float(np.abs(one).max())
            found[name] = Difference(max(before.difference, difference), max(before.largest, largest))
    wrong = {name: one for name, one in found.items() if one.relative > ALLOWED}
    if wrong:
        worst = max(wrong, key=lambda name: wrong[name].relative)
        raise FileDiffersError(
            f'{worst} of the file differs from the model by {wrong[worst].difference:.2g} (largest value '
            f'{wrong[worst].largest:.2g}), more than rounding: nothing was written'
        )
    return found


def _try(run: Run, images: np.ndarray, batch: bool) -> Sequence[np.ndarray]:
    try:
        return run(images)
    except Exception as error:  # of any runtime
        hint = '; without --dynamic batch it may run' if batch else ''
        line = ' '.join(str(error).split())[:200]
        raise FileDiffersError(f'its runtime cannot run the file on {len(images)} images{hint}: {line}') from error


def time_both(ours: Run, theirs: Run, image: np.ndarray) -> tuple[float, float]:
    """Return the median milliseconds of one image, ours and theirs; they take turns."""
    times: tuple[list[float], list[float]] = ([], [])
    start = time.perf_counter()
    while len(times[0]) < 3 or (len(times[0]) < _ROUNDS and time.perf_counter() - start < _SECONDS):
        for run, seconds in zip((ours, theirs), times, strict=True):
            before = time.perf_counter()
            run(image)
            seconds.append(time.perf_counter() - before)
    return 1e3 * statistics.median(times[0]), 1e3 * statistics.median(times[1])
