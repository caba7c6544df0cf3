"""Measure time and memory of models: interleaved repetitions, their statistics, and the rate of the machine.

The speed of a machine drifts by more than the differences of interest, so models are timed together: every round runs
each case once, the order rotates by one from round to round, and ratios are taken per round as well.
"""

import contextlib
import gc
import math
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mmsparseswin.layers.processor import processor
from mmsparseswin.malloc import return_freed_memory

Step = Callable[[], None]


class Precision(NamedTuple):
    """Type of the weights and inputs, and the type that autocast computes in, if any."""

    weights: torch.dtype
    autocast: torch.dtype | None = None

    @property
    def products(self) -> torch.dtype:
        """Return the type of the matrix products."""
        return self.autocast or self.weights


PRECISIONS = {
    'fp32': Precision(torch.float32),
    'bf16': Precision(torch.bfloat16),
    'fp16': Precision(torch.float16),
    'autocast-bf16': Precision(torch.float32, torch.bfloat16),
    'autocast-fp16': Precision(torch.float32, torch.float16),
}


def make_step(model: nn.Module, call: Callable[..., Any], x: Tensor, precision: Precision, training: bool) -> Step:
    """Return one repetition of `model` as a function without arguments.

    Inference runs in eval mode under ``torch.no_grad``. A training step runs in train mode, drops the gradients of the
    step before, and is forward and backward from fixed random gradients of the outputs (a loss of zero or nearly equal
    numbers would send denormals, which are slow, through the backward pass); it has no optimizer.

    Args:
        model: gets the mode and the gradients.
        call: the model or its compiled form.
        x: images.
        precision: of model and images.
        training: True for a training step instead of inference.
    """
    model.train(training)
    device = next(model.parameters()).device.type
    cotangents: list[Tensor] = []

    def cast() -> contextlib.AbstractContextManager:
        if precision.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(device, precision.autocast)

    def infer() -> None:
        with torch.no_grad(), cast():
            call(x)

    def train() -> None:
        model.zero_grad(set_to_none=True)
        with cast():
            outputs = list(differentiable(call(x)))
        if not cotangents:
            cotangents.extend(torch.randn_like(out) / out[0].numel() for out in outputs)
        torch.autograd.backward(outputs, cotangents)

    return train if training else infer


def differentiable(outputs: Any) -> Iterator[Tensor]:
    """Yield the tensors that require gradients in nested outputs."""
    if isinstance(outputs, Tensor):
        if outputs.requires_grad:
            yield outputs
    elif isinstance(outputs, Mapping):
        yield from differentiable(list(outputs.values()))
    elif isinstance(outputs, (list, tuple)):
        for part in outputs:
            yield from differentiable(part)


def time_cpu(step: Step) -> float:
    """Return the seconds of one call by the wall clock."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def time_process(step: Step) -> float:
    """Return the processor seconds of one call, in all threads; other work of the machine matters less."""
    start = time.process_time()
    step()
    return time.process_time() - start


def time_cuda(step: Step) -> float:
    """Return the seconds of one call between two events on the stream of an idle GPU."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    start.record()
    step()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def rounds(
    steps: Mapping[str, Step], timer: Callable[[Step], float], min_rounds: int, seconds: float
) -> Iterator[dict[str, float]]:
    """Time every step once per round, in an order that rotates by one from round to round.

    Args:
        steps: functions to time by name.
        timer: returns the seconds of one call.
        min_rounds: least number of rounds.
        seconds: repeat until the rounds have taken this long per step.

    Yields:
        Seconds by name, one dict per complete round.
    """
    names, done, spent = list(steps), 0, 0.0
    while done < min_rounds or spent < seconds * len(names):
        turn = done % len(names)
        times = {name: timer(steps[name]) for name in names[turn:] + names[:turn]}
        yield times
        done += 1
        spent += sum(times.values())


class Spread(NamedTuple):
    """A median and the quartiles around it."""

    median: float
    q1: float
    q3: float

    @classmethod
    def of(cls, values: Sequence[float]) -> 'Spread':
        """Compute the spread of at least one value; quartiles interpolate."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        q1, median, q3 = statistics.quantiles(values, n=4, method='inclusive')
        return cls(median, q1, q3)


def speedup(times: Sequence[float], baseline: Sequence[float]) -> Spread:
    """Return the speed-up over the baseline: ratio of the medians, and quartiles of the ratios of single rounds."""
    single = Spread.of([theirs / ours for ours, theirs in zip(times, baseline, strict=True)])
    return Spread(statistics.median(baseline) / statistics.median(times), single.q1, single.q3)


def growth(areas: Sequence[float], times: Sequence[float]) -> float:
    """Fit the exponent of time in area: slope of the least-squares line through their logarithms."""
    x, y = [math.log(a) for a in areas], [math.log(t) for t in times]
    return statistics.linear_regression(x, y).slope


@dataclass
class MatrixProduct:
    """Multiply two large square matrices; the rate is the reference for the machine's peak.

    Attributes:
        dtype: type of the factors and the product.
        device: 'cpu' or 'cuda'.
        kernel: 'mm', PyTorch's choice (its BLAS for fp32 on a CPU), or 'onednn'.
        side: rows and columns.
    """

    dtype: torch.dtype
    device: str
    kernel: str
    side: int

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self._a, self._b = torch.randn(2, self.side, self.side, generator=generator).to(self.device, self.dtype)

    def __str__(self) -> str:
        return f'{str(self.dtype).removeprefix("torch.")} {self.kernel} {self.side}'

    @property
    def flops(self) -> int:
        """Return the FLOPs of one product, two per multiply-accumulate."""
        return 2 * self.side**3

    def step(self) -> None:
        """Compute one product."""
        with torch.no_grad():
            if self.kernel == 'mm':
                torch.mm(self._a, self._b)
            else:
                torch.ops.mkldnn._linear_pointwise(self._a, self._b, None, 'none', [], '')


def matrix_products(dtype: torch.dtype, device: str) -> list[MatrixProduct]:
    """Return a product for each kernel that this machine has for a type; the fastest sets the peak."""
    if device == 'cuda':
        return [MatrixProduct(dtype, device, 'mm', 8192)]
    # A product of 2048 takes a minute on processors without bfloat16.
    side = 512 if dtype == torch.bfloat16 and not processor().report.bfloat16 else 2048
    found = [MatrixProduct(dtype, device, 'mm', side)]
    if torch.backends.mkldnn.is_available():
        with contextlib.suppress(RuntimeError):  # oneDNN lacks this type on this processor
            other = MatrixProduct(dtype, device, 'onednn', side)
            other.step()
            found.append(other)
    return found


def peak_memory(step: Step, device: str = 'cpu', repeats: int = 2) -> int:
    """Return the peak bytes of `step` above those held when it starts.

    On a GPU these are tensors. On a CPU they are resident memory of the whole process, so call it in a fresh process
    that has only loaded the model and run :func:`touch_libraries`.
    """
    gc.collect()
    if device == 'cuda':
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        for _ in range(repeats):
            step()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    return_freed_memory()  # memory the heap still holds would be reused without being counted
    before = _resident('VmRSS', reset_peak=True)
    for _ in range(repeats):
        step()
    return _resident('VmHWM') - before


def _resident(field: str, reset_peak: bool = False) -> int:
    """Return resident bytes now ('VmRSS') or at the peak ('VmHWM'); without /proc, the peak for both."""
    try:
        if reset_peak:
            Path('/proc/self/clear_refs').write_text('5')
        status = Path('/proc/self/status').read_text()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == 'darwin' else peak * 1024
    return int(status.split(f'{field}:')[1].split()[0]) * 1024


def touch_libraries(precision: Precision, training: bool) -> None:
    """Run every kind of layer once on small tensors, so that pages of library code do not count as model memory."""
    toy = nn.Sequential(
        nn.Conv2d(3, 96, 4, 4), nn.Flatten(2), nn.LayerNorm(196), nn.Linear(196, 196), nn.GELU(), _Attention()
    )
    toy = toy.to(precision.weights)
    x = torch.randn(2, 3, 56, 56, dtype=precision.weights)
    make_step(toy, toy, x, precision, training)()


class _Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        heads = x.unflatten(-1, (4, -1)).transpose(1, 2)
        fused = nn.functional.scaled_dot_product_attention(heads, heads, heads)
        return fused + (heads @ heads.transpose(-1, -2)).softmax(-1) @ heads
