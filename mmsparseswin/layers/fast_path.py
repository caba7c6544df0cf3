"""The seam between PyTorch's operators and faster ones: when a fast path may run, and linear layers by oneDNN.

A block asks :func:`choose` once and hands the answer to its parts; a part that is called without one runs PyTorch's own
operators. A tracer, a compiler, a FLOP counter or a hook sees these too.

PyTorch leaves float32 products on a CPU to its BLAS, which on an AMD processor with AVX-512 runs at about half of what
oneDNN reaches (docs/benchmarks). Where :func:`processor` finds oneDNN the faster one, linear layers run as its
primitives, and without gradients their GELU with them.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils._python_dispatch import is_in_torch_dispatch_mode
from torch.utils.checkpoint import checkpoint

from mmsparseswin.layers.processor import processor

# One value for the process, not one per context: PyTorch's backward pass recomputes blocks in threads of its own.
_enabled = os.environ.get('MMSPARSESWIN_FAST_PATH', '1').lower() not in ('0', 'false', 'off', 'no')


@contextmanager
def fast_path(enabled: bool = True) -> Iterator[None]:
    """Switch every fast path on or off for the code inside, in all threads.

    Without them each layer runs PyTorch's operators, in the order of the papers; results differ by rounding alone
    (docs/processors.md). The environment variable ``MMSPARSESWIN_FAST_PATH=0`` does the same for a whole process. A
    training step belongs inside as a whole, forward and backward. What saves memory rather than time, as
    ``with_cp='light'`` does, stays.
    """
    global _enabled
    before, _enabled = _enabled, enabled
    try:
        yield
    finally:
        _enabled = before


class FastPath(NamedTuple):
    """What a block may run in place of PyTorch's operators; nothing by default.

    Attributes:
        enabled: functions of ours whose gradients cost less, on any device.
        cpu: what pays on a CPU.
        product: type in which linear layers run as oneDNN's primitives; None: PyTorch's own run.
        autocast: True if other types are turned into ``product``.
    """

    enabled: bool = False
    cpu: bool = False
    product: torch.dtype | None = None
    autocast: bool = False


PLAIN = FastPath()


def choose(x: Tensor, *parts: nn.Module) -> FastPath:
    """Decide for a block that runs on ``x`` and hands the answer to ``parts``.

    The answer is :data:`PLAIN` where something traces, compiles or counts operators, in the block or in a part of it.
    """
    if (
        torch.compiler.is_compiling()
        or not _enabled
        or type(x) is not Tensor
        or torch.jit.is_tracing()
        or is_in_torch_dispatch_mode()
        or torch._C._functorch.peek_interpreter_stack() is not None
        or any(part._compiled_call_impl is not None or '_orig_mod' in part._modules for part in parts)
    ):
        return PLAIN
    if x.device.type != 'cpu':
        return FastPath(enabled=True)
    autocast = torch.is_autocast_enabled('cpu') and x.dtype != torch.float64
    dtype = torch.get_autocast_dtype('cpu') if autocast else x.dtype
    multiplies = torch.backends.mkldnn.enabled and _has_primitive(dtype)
    return FastPath(enabled=True, cpu=True, product=dtype if multiplies else None, autocast=autocast)


def linear(
    module: nn.Linear, x: Tensor, fast: FastPath = PLAIN, act: nn.Module | None = None, plus: Tensor | None = None
) -> Tensor:
    """``act(module(x)) + plus``: (..., in_features) -> (..., out_features)."""
    if fast.product is None or not _is_plain(module, x, fast):
        x = module(x)
        x = x if act is None else act(x)
        return x if plus is None else plus + x
    return _run(x, module.weight, module.bias, fast.product, act, plus)


class FastLinear(nn.Linear):
    """PyTorch's linear layer, run as oneDNN's primitive where that is faster: for models whose forward is not ours."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        fast = choose(x)
        if fast.product is None or not _fits(x, self.weight, fast):
            return super().forward(x)
        return _run(x, self.weight, self.bias, fast.product)


def use_fast_linear(model: nn.Module) -> None:
    """Turn every plain ``nn.Linear`` inside ``model`` into a :class:`FastLinear`; parameters and hooks stay."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = FastLinear


def multiply(x: Tensor, weight: Tensor, fast: FastPath) -> Tensor:
    """(..., k), (n, k) -> (..., n): a linear layer whose weights belong to no module."""
    learns = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    if _fits(x, weight, fast) and not fast.autocast and not learns:
        return _product(x, weight)
    return F.linear(x, weight)


def recomputed(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``function(x)``, keeping nothing inside: steps are taken again in the backward pass, up to the last that keeps.

    Of a function that ends in a linear layer the steps before it are taken again, not its product.
    """
    return checkpoint(function, x, use_reentrant=False)


def has_hooks(*modules: nn.Module) -> bool:
    """Return True if any module has forward hooks."""
    return any(module._forward_hooks or module._forward_pre_hooks for module in modules)


def _run(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    dtype: torch.dtype,
    act: nn.Module | None = None,
    plus: Tensor | None = None,
) -> Tensor:
    """``act(x @ weight.T + bias) + plus`` by oneDNN in ``dtype``."""
    x, weight = x.to(dtype), weight.to(dtype)
    bias = None if bias is None else bias.to(dtype)
    if not torch.is_grad_enabled() or not any(t is not None and t.requires_grad for t in (x, weight, bias)):
        if act is None and plus is not None and plus.dtype == dtype:
            return _product(x, weight, bias, plus=plus)
        if type(act) is nn.GELU and act.approximate == 'none' and not has_hooks(act):
            x, act = _product(x, weight, bias, 'gelu'), None
        else:
            x = _product(x, weight, bias)
    elif x.requires_grad or weight.requires_grad:
        kept = _Keep.apply(x, weight)
        x = _Linear.apply(kept, weight, bias, kept.grad_fn)
    else:
        x = F.linear(x, weight, bias)
    x = x if act is None else act(x)
    return x if plus is None else plus + x


def _is_plain(module: nn.Linear, x: Tensor, fast: FastPath) -> bool:
    """Return True if nothing but PyTorch's own product would run in ``module``."""
    return (
        type(module) is nn.Linear
        and _fits(x, module.weight, fast)
        and not has_hooks(module)
        and not (torch.is_grad_enabled() and (module._backward_hooks or module._backward_pre_hooks))
    )


def _fits(x: Tensor, weight: Tensor, fast: FastPath) -> bool:
    """Return True if these are operands of a product of the type ``fast.product``."""
    plain = type(x) is Tensor and type(weight.data) is Tensor
    return plain and (fast.autocast or x.dtype == weight.dtype == fast.product)


def _has_primitive(dtype: torch.dtype) -> bool:
    """Return True if oneDNN's product in ``dtype`` exists here and is the faster one."""
    if dtype == torch.float32:
        return processor().onednn_linear
    return dtype == torch.bfloat16 and processor().report.bfloat16


def _product(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, act: str = 'none', plus: Tensor | None = None
) -> Tensor:
    """(..., k), (n, k) -> (..., n)."""
    if plus is not None:
        return torch.ops.mkldnn._linear_pointwise.binary(x, plus, weight, bias, 'add')
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, act, [], 'none')


class _Keep(torch.autograd.Function):
    """Keeps what the backward pass of the next product needs.

    It is a step of its own, so that recomputation under :func:`recomputed` ends ahead of the product.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


class _Linear(torch.autograd.Function):
    """A linear layer whose three products, forward and backward, are oneDNN's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, keep: Any) -> Tensor:
        ctx.keep = keep
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight = ctx.keep.saved_tensors
        rows, grad_rows = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])
        grad_x = grad_weight = grad_bias = None
        half = grad.dtype != torch.float32  # whose products PyTorch leaves to oneDNN, transposes and all
        if ctx.needs_input_grad[0]:
            grad_x = grad @ weight if half else _product(grad, weight.t())
        if ctx.needs_input_grad[1]:
            # The short side first: twice as fast where the sides differ much.
            if half:
                grad_weight = grad_rows.t() @ rows
            elif len(weight) <= weight.shape[1]:
                grad_weight = _product(grad_rows.t(), rows.t())
            else:
                grad_weight = _product(rows.t(), grad_rows.t()).t()
        if ctx.needs_input_grad[2]:
            grad_bias = grad_rows.sum(0)
        return grad_x, grad_weight, grad_bias, None
