"""Count parameters, multiply-accumulates (MACs), FLOPs and activations of a model, module by module.

The model runs once and every operator that reaches PyTorch's dispatcher is seen, fused attention and the operators that
composite ones are made of included. Products (convolution, linear, matmul, attention) are counted with the formulas of
:mod:`torch.utils.flop_counter`; whatever else computes is named in the report instead of silently being zero.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import addmm_flop, baddbmm_flop, bmm_flop, flop_registry, sdpa_flop

aten = torch.ops.aten


# Operator -> FLOPs (2 per MAC) from its arguments, for operators that PyTorch's table lacks.
_MISSING: dict[Any, Callable[..., int]] = {
    aten._scaled_dot_product_flash_attention_for_cpu: sdpa_flop,
    aten._scaled_dot_product_fused_attention_overrideable: sdpa_flop,
    aten.addmm_: addmm_flop,
    aten._addmm_activation: addmm_flop,
    aten.baddbmm_: baddbmm_flop,
    aten.addbmm: lambda _, a, b, **__: bmm_flop(a, b),
    aten.mv: lambda matrix, *_, **__: 2 * matrix.numel(),
    aten.addmv: lambda _, matrix, *__, **___: 2 * matrix.numel(),
    aten.dot: lambda a, *_, **__: 2 * a.numel(),
}


def _norm(input_: Tensor, weight: Tensor | None, with_affine: int) -> int:
    return input_.numel() * (with_affine if weight is not None else with_affine - 1)


# Counts that fvcore adds to one per MAC: operator -> count from (arguments, output).
_FVCORE_EXTRA: dict[Any, Callable[[tuple, Any], int]] = {
    aten.native_layer_norm: lambda args, _: _norm(args[0], args[2], 5),
    aten.native_group_norm: lambda args, _: _norm(args[0], args[1], 5),
    aten.native_batch_norm: lambda args, _: _norm(args[0], args[1], 2),
    aten._native_batch_norm_legit_no_training: lambda args, _: _norm(args[0], args[1], 2),
    aten.cudnn_batch_norm: lambda args, _: _norm(args[0], args[1], 2),
    aten.upsample_nearest2d: lambda _, out: out.numel(),
    aten.upsample_bilinear2d: lambda _, out: 4 * out.numel(),
    aten.grid_sampler_2d: lambda _, out: 4 * out.numel(),
}

# Operators that move, make or convert numbers and do no arithmetic on them; views are recognised by their schema.
# fmt: off
_MOVES = frozenset((
    '_to_copy', '_unsafe_index', '_unsafe_view', 'arange', 'cat', 'clone', 'constant_pad_nd', 'copy_', 'empty',
    'empty_like', 'eye', 'fill_', 'flip', 'full', 'full_like', 'gather', 'index', 'index_put', 'index_put_',
    'index_select', 'lift_fresh', 'masked_select', 'new_empty', 'new_full', 'new_ones', 'new_zeros', 'ones',
    'ones_like', 'pixel_shuffle', 'rand', 'randn', 'reflection_pad2d', 'repeat', 'resize_', 'roll', 'scalar_tensor',
    'slice_scatter', 'stack', 'where', 'zero_', 'zeros', 'zeros_like',
))
# fmt: on

_CONTAINERS = {'ModuleList', 'ModuleDict'}


@dataclass
class Cost:
    """Costs of one module and everything below it.

    Attributes:
        kind: name of its class.
        level: how deep it sits; lists of modules are no level of their own.
        params: its parameters, shared ones once.
        macs: multiply-accumulates of convolutions, linear layers, matrix products and attention.
        activations: numbers those operators put out (fvcore's definition; an attention puts out its scores too).
        extra: operations that fvcore counts on top: 5 per element of a layer or group norm, 2 of a batch norm, 4 of a
            bilinear and 1 of a nearest interpolation.
    """

    kind: str
    level: int = 0
    params: int = 0
    macs: int = 0
    activations: int = 0
    extra: int = 0

    @property
    def flops(self) -> int:
        """Return the FLOPs: one multiplication and one addition per MAC."""
        return 2 * self.macs

    @property
    def fvcore_flops(self) -> int:
        """Return the "flops" of fvcore: one per MAC, and norms and interpolations."""
        return self.macs + self.extra


@dataclass
class Report:
    """Costs per module, and calls per operator.

    Attributes:
        modules: path -> cost, parents before children; '' is the model.
        counted: operators in the MACs.
        uncounted: operators that compute numbers and are not in the MACs; arithmetic on indices and masks is left out.
        moved: operators that only move or make numbers (gathers, copies, padding): 0 MACs by definition.
        compiled: modules of ``mmcv.ops``; of their compiled code only the calls back into PyTorch are seen.
    """

    modules: dict[str, Cost] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)
    uncounted: Counter[str] = field(default_factory=Counter)
    moved: Counter[str] = field(default_factory=Counter)
    compiled: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> Cost:
        """Return the costs of the whole model."""
        return self.modules['']

    def tree(self, depth: int) -> dict[str, Cost]:
        """Return the modules down to ``depth`` levels that have parameters or MACs."""
        return {
            path: cost
            for path, cost in self.modules.items()
            if not path or (cost.level <= depth and (cost.params or cost.macs) and cost.kind not in _CONTAINERS)
        }


def count_flops(model: nn.Module, *inputs: Any, **kwargs: Any) -> Report:
    """Count one call ``model(*inputs, **kwargs)`` without gradients, in the current mode (train or eval).

    A model and inputs on the 'meta' device cost neither time nor memory, if the model reads no values. Numbers
    are those of the whole batch, and of what is computed: padding counts.
    """
    report = Report(_modules(model))
    fused = torch.backends.mha.get_fastpath_enabled()
    # nn.MultiheadAttention's fast path is one operator that hides its parts.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), _called_modules(model, report) as stack, _Counter(report, stack):
            model(*inputs, **kwargs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return report


def _modules(model: nn.Module) -> dict[str, Cost]:
    """Return the parameters of every module, with all other costs at 0."""
    costs: dict[str, Cost] = {}
    for path, module in model.named_modules():
        above = [costs[parent] for parent in _upwards(path) if parent in costs and parent != path]
        level = sum(cost.kind not in _CONTAINERS for cost in above)
        costs[path] = Cost(type(module).__name__, level, sum(p.numel() for p in module.parameters()))
    return costs


def _upwards(path: str) -> Iterator[str]:
    """Yield ``path`` and its ancestors: 'a.b', 'a', ''."""
    while path:
        yield path
        path = path.rpartition('.')[0]
    yield ''


@contextmanager
def _called_modules(model: nn.Module, report: Report) -> Iterator[list[str]]:
    """Keep the paths of the modules being called, the innermost last."""
    paths = {module: path for path, module in model.named_modules()}
    stack = ['']

    def enter(module: nn.Module, args: Any) -> None:
        stack.append(paths.get(module, stack[-1]))
        if type(module).__module__.startswith('mmcv.ops'):
            report.compiled[f'mmcv.ops.{type(module).__name__}'] += 1

    def leave(module: nn.Module, args: Any, out: Any) -> None:
        stack.pop()

    handles = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave, always_call=True)]
    try:
        yield stack
    finally:
        for handle in handles:
            handle.remove()


class _Counter(TorchDispatchMode):
    """Count every operator for the innermost module being called and for all its ancestors."""

    def __init__(self, report: Report, stack: list[str]) -> None:
        super().__init__()
        self.report, self.stack = report, stack

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        op = func.overloadpacket
        formula = flop_registry.get(op) or _MISSING.get(op)
        if formula is None:
            # Under inference_mode composite operators are not decomposed.
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = func(*args, **kwargs)
        self._book(func, op, formula, args, kwargs, out)
        return out

    def _book(self, func: Any, op: Any, formula: Any, args: tuple, kwargs: dict, out: Any) -> None:
        name = op.__name__ if func.namespace == 'aten' else f'{func.namespace}::{op.__name__}'
        macs = activations = 0
        if formula is not None:
            self.report.counted[name] += 1
            macs = formula(*args, **kwargs, out_val=out) // 2
            activations = _activations(name, args, out)
        elif not func.is_view and _is_float(out):
            (self.report.moved if name in _MOVES else self.report.uncounted)[name] += 1
        extra = _FVCORE_EXTRA[op](args, out) if op in _FVCORE_EXTRA else 0
        if macs or extra:
            for path in _upwards(self.stack[-1]):
                if path in self.report.modules:
                    cost = self.report.modules[path]
                    cost.macs += macs
                    cost.activations += activations
                    cost.extra += extra


def _is_float(out: Any) -> bool:
    """Return True if an operator returns floating-point numbers, not indices, masks or nothing."""
    first = out[0] if isinstance(out, (tuple, list)) and out else out
    return isinstance(first, Tensor) and first.is_floating_point()


def _activations(name: str, args: tuple, out: Any) -> int:
    if not name.startswith('_scaled_dot_product'):
        return out.numel()
    query, key = args[:2]
    return query.shape[:-1].numel() * key.shape[-2] + out[0].numel()
