"""Choose precision and fast paths by what the processor does well.

The processor's own report decides where it can: without bfloat16 instructions nothing runs in bfloat16 by default.
Where it cannot, a measurement of milliseconds decides, taken once per kind of processor and kept in the user's cache
folder (``$XDG_CACHE_HOME/mmsparseswin``), so that later processes choose, and round, alike.
"""

import contextlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# Ratios of times from which the other way is taken: bfloat16 rounds more, and must be worth it.
_BFLOAT16_PAYS, _ONEDNN_PAYS = 1.2, 1.02
_ROUNDS = 9  # the fastest counts: another program's time slice spoils some, not all


class Report(NamedTuple):
    """Report of the processor on itself.

    Attributes:
        name: of the processor, e.g. 'AMD EPYC'.
        capability: instruction set that PyTorch's kernels use, e.g. 'AVX2' or 'AVX512'.
        onednn: True if this build of PyTorch has oneDNN's linear layers.
        bfloat16: True if oneDNN multiplies in bfloat16 here.
        bfloat16_instructions: True if the processor has instructions for such products (AVX512_BF16, AMX).
    """

    name: str
    capability: str
    onednn: bool
    bfloat16: bool
    bfloat16_instructions: bool


class Ratios(NamedTuple):
    """Measured times, as ratios: above 1 the second way is the faster.

    Attributes:
        bfloat16: product in float32 over product in bfloat16; 0 where it was not measured.
        onednn: linear layer of PyTorch's BLAS over oneDNN's, in float32; 0 where there is none.
    """

    bfloat16: float
    onednn: float


class Processor(NamedTuple):
    """Fast paths that pay on this processor.

    Attributes:
        report: the processor's report.
        ratios: measured, see :class:`Ratios`.
        precision: 'bfloat16' or 'float32', whichever trains and infers faster under autocast.
        onednn_linear: True if float32 linear layers run faster as oneDNN's primitives.
        chunk_tokens: tokens per thread that a Swin block takes at a time in inference.
        explicit_scores: queries times keys up to which spelt-out attention beats the fused kernel in inference.
        explicit_scores_half: the same for training in half precision.
    """

    report: Report
    ratios: Ratios
    precision: str
    onednn_linear: bool
    # Swin-T, 4 x 224, one thread, Zen 5 with AVX-512 and the same masked to AVX2: from 1,024 to 8,192 tokens the times
    # lie within 4 %, and with the fused kernel instead of spelt-out attention of 49 tokens they are 2 to 7 % longer.
    chunk_tokens: int = 2048
    explicit_scores: int = 64 * 64
    # Forward and backward, PyTorch's fused kernel takes up to seven times as long there.
    explicit_scores_half: int = 256 * 256

    def __str__(self) -> str:
        """Tell the choice of precision and its reason in one line."""
        report = self.report
        if not report.bfloat16:
            reason = 'no bfloat16 instructions'
        elif report.bfloat16_instructions:
            reason = 'bfloat16 instructions'
        else:
            reason = f'bfloat16 products measured {self.ratios.bfloat16:.1f} times as fast'
        linear = f'{"oneDNN" if self.onednn_linear else "BLAS"} linear layers (ratio {self.ratios.onednn:.2f})'
        return f'{self.precision}: {report.name}, {report.capability}, {reason}; {linear}'


@cache
def processor() -> Processor:
    """Return what pays on the processor of this machine; decided once per process."""
    report = read_report()
    ratios = _remembered(report)
    bfloat16 = report.bfloat16 and (report.bfloat16_instructions or ratios.bfloat16 >= _BFLOAT16_PAYS)
    return Processor(
        report,
        ratios,
        precision='bfloat16' if bfloat16 else 'float32',
        onednn_linear=report.onednn and ratios.onednn >= _ONEDNN_PAYS,
    )


def read_report() -> Report:
    """Ask PyTorch, oneDNN and the operating system about the processor."""
    capability = torch.backends.cpu.get_cpu_capability()
    onednn = bool(torch.backends.mkldnn.is_available()) and hasattr(torch.ops.mkldnn, '_linear_pointwise')
    bfloat16 = onednn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    # ATEN_CPU_CAPABILITY and ONEDNN_MAX_CPU_ISA hide instructions from PyTorch and oneDNN, not from these two.
    if platform.machine() in ('x86_64', 'AMD64') and not capability.startswith('AVX512'):
        bfloat16 = False
    tells = [getattr(torch.cpu, name, None) for name in ('_is_avx512_bf16_supported', '_is_amx_tile_supported')]
    instructions = bfloat16 and any(tell is not None and tell() for tell in tells)
    return Report(_processor_name(), capability, onednn, bfloat16, instructions)


def _processor_name() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(':')[2].strip() for line in lines if line.startswith('model name'))
    return next(names, platform.processor() or platform.machine())


def cache_folder() -> Path:
    """Return the folder of what this project remembers about the machine."""
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'mmsparseswin'


def _remembered(report: Report) -> Ratios:
    """Return the ratios of this kind of processor from the cache folder, or measure and keep them."""
    path = cache_folder() / 'processors.json'
    hidden = os.environ.get('ONEDNN_MAX_CPU_ISA', os.environ.get('DNNL_MAX_CPU_ISA', ''))
    key = ' | '.join((*map(str, report), hidden, torch.__version__))
    if (known := _read(path).get(key)) is not None:
        return known
    measured = _measure(report)
    entries = _read(path)
    # The first of several processes that measured at once is believed by all that follow.
    measured = entries.setdefault(key, measured)
    with contextlib.suppress(OSError):  # a folder that cannot be written: the next process measures again
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile('w', dir=path.parent, suffix='.json', delete=False) as file:
            json.dump({name: ratios._asdict() for name, ratios in entries.items()}, file, indent=1)
        os.replace(file.name, path)
    return measured


def _read(path: Path) -> dict[str, Ratios]:
    """Return the remembered ratios; nothing where the file is missing or is not ours."""
    try:
        return {str(name): Ratios(**ratios) for name, ratios in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


@torch.inference_mode(False)
@torch.no_grad()
def _measure(report: Report) -> Ratios:
    """Time products of a Swin's size in one thread, which other programs disturb least."""
    if not report.onednn:
        return Ratios(0.0, 0.0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.autocast('cpu', enabled=False), torch.device('cpu'):
            x, weight = (torch.linspace(-1, 1, rows * 384, dtype=torch.float32).view(rows, 384) for rows in (512, 1536))
            ways: list[Callable[[], Tensor]] = [partial(F.linear, x, weight), partial(_onednn_linear, x, weight)]
            if report.bfloat16 and not report.bfloat16_instructions:
                ways.append(partial(F.linear, x.bfloat16(), weight.bfloat16()))
            blas, onednn, *half = _fastest(ways)
    finally:
        torch.set_num_threads(threads)
    return Ratios(round(blas / half[0], 2) if half else 0.0, round(blas / onednn, 2))


def _onednn_linear(x: Tensor, weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, 'none', [], 'none')


def _fastest(ways: list[Callable[[], Tensor]]) -> list[float]:
    """Run the ways in turns; returns the shortest time of each, in seconds."""
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(_ROUNDS):
        for way, taken in zip(ways, times, strict=True):
            start = time.perf_counter()
            way()
            taken.append(time.perf_counter() - start)
    return [min(taken) for taken in times]
