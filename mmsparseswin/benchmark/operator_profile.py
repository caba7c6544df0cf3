"""Profile the time of a model by kind of operator, and the rate of its matrix products by shape."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from mmsparseswin.benchmark.timing import Step

# The first kind with a word in the operator's name takes it.
_KINDS = {
    'attention products': ('bmm', 'scaled_dot_product'),
    'linear layers': ('linear', 'addmm', '::mm', 'matmul'),
    'convolution': ('convolution',),
    'softmax': ('softmax',),
    'layer norm': ('layer_norm',),
    'GELU': ('gelu',),
    'gathers and copies': ('copy_', 'index', 'cat', 'clone', 'gather', 'roll', 'pad', 'fill', 'zero'),
    'sums': ('add', 'sum', 'mul', 'div', 'sub'),
}
_REST = 'the rest'


def operator_shares(step: Step, device: str = 'cpu', repeats: int = 3) -> dict[str, Any]:
    """Profile some repetitions of ``step``, which must have run before.

    Returns:
        'kinds': share of the operators' own time by kind, the largest first; 'products': share and GFLOP/s of matrix
        products of two-dimensional weights by shape, (rows, channels in, channels out), likewise. On a GPU its time
        counts, else the processor's.
    """
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device == 'cuda')
    with profile(activities=activities, record_shapes=True) as run:
        for _ in range(repeats):
            step()
    kinds: defaultdict[str, float] = defaultdict(float)
    products: defaultdict[tuple[int, int, int], list[float]] = defaultdict(lambda: [0.0, 0.0])  # seconds, calls
    for event in run.key_averages(group_by_input_shape=True):
        if event.device_type != torch.autograd.DeviceType.CPU:
            continue  # a GPU's kernels count under the operators that launched them
        taken = (event.self_device_time_total if device == 'cuda' else event.self_cpu_time_total) / 1e6
        kinds[_kind(event.key)] += taken
        shape = product_shape(event.key, event.input_shapes)
        if shape is not None and taken > 0:
            products[shape][0] += taken
            products[shape][1] += event.count
    whole = sum(kinds.values())
    return dict(
        kinds={kind: taken / whole for kind, taken in sorted(kinds.items(), key=lambda item: -item[1])},
        products=[
            dict(shape=list(shape), share=taken / whole, gflops=2 * math.prod(shape) * calls / taken / 1e9)
            for shape, (taken, calls) in sorted(products.items(), key=lambda item: -item[1][0])
        ],
    )


def _kind(operator: str) -> str:
    return next((kind for kind, words in _KINDS.items() if any(word in operator for word in words)), _REST)


def product_shape(operator: str, shapes: Sequence[Sequence[int]]) -> tuple[int, int, int] | None:
    """Return (rows, channels in, channels out) of a product with a matrix, or None for another operator."""
    matrices = [shape for shape in shapes if len(shape) >= 2]
    if operator == 'mkldnn::_linear_pointwise':  # x (..., in), perhaps an added tensor, weight (out, in)
        return math.prod(matrices[0][:-1]), matrices[0][-1], matrices[-1][0]
    if operator in ('aten::addmm', 'aten::mm'):  # perhaps a bias, x (rows, in), weight (in, out)
        (rows, channels), (_, out) = matrices[:2]
        return rows, channels, out
    return None
