"""Hand a model to the runtime that a benchmark names: torch.compile, frozen Inductor, OpenVINO or onnxruntime.

Each gives the same work as eager PyTorch, on the same weights and with as many threads; its outputs are compared with
eager ones before anything is timed.
"""

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmsparseswin.errors import InputError
from mmsparseswin.export.formats import FORMATS, Plan, check_installed, write
from mmsparseswin.runtime.engines import open_engine

Call = Callable[[Tensor], Any]

# Largest difference from eager float32; the outputs come from a layer norm and are of order 1.
_TOLERANCES = {torch.float32: 1e-3, torch.bfloat16: 0.15}


def _compiled(model: nn.Module, x: Tensor, precision: torch.dtype) -> Call:
    return torch.compile(model)


def _inductor(model: nn.Module, x: Tensor, precision: torch.dtype) -> Call:
    """Compile for inference alone: weights are constants, packed once, and the fastest of several kernels is kept."""
    from torch._inductor import config

    compiled = torch.compile(model, mode='max-autotune-no-cudagraphs')

    def call(images: Tensor) -> Any:
        with config.patch(freezing=True), torch.no_grad():
            return compiled(images)

    call(x)  # compiles
    return call


def _file_of(name: str, model: nn.Module, x: Tensor, precision: torch.dtype) -> Call:
    """Write the model as users do, by ``mmsparseswin export``, and open the file with as many threads."""
    check_installed(name)
    with torch.no_grad():
        outputs = tuple(f'output{i}' for i in range(len(_as_tuple(model(x)))))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f'model{FORMATS[name].suffix}'
        write(name, Plan(model, x, False, outputs), path)
        kind = 'bf16' if precision == torch.bfloat16 else 'fp32'
        engine = open_engine(path, torch.get_num_threads(), kind, shared=True)
    return lambda images: tuple(map(torch.from_numpy, engine.run(images.numpy())))


_ENGINES: dict[str, Callable[[nn.Module, Tensor, torch.dtype], Call]] = dict(
    compiled=_compiled,
    inductor=_inductor,
    openvino=functools.partial(_file_of, 'openvino'),
    onnxruntime=functools.partial(_file_of, 'onnx'),
)
MODES = ('eager', *_ENGINES)
FOREIGN = ('openvino', 'onnxruntime')  # run a graph of the model, not its modules
INFERENCE_ONLY = ('inductor', *FOREIGN)


def callable_of(model: nn.Module, mode: str, x: Tensor, products: torch.dtype) -> Call:
    """Return `model` as one of `MODES` runs it.

    Args:
        model: in eval mode.
        mode: one of `MODES`.
        x: images (B, 3, H, W) of the one size that will be run. For `FOREIGN` modes model and images are float32.
        products: type of the matrix products.

    Raises:
        RuntimeError: the runtime is not installed, cannot run the model in this type, or gives other numbers than eager
            PyTorch.
    """
    if mode == 'eager':
        return model
    if mode not in INFERENCE_ONLY:
        return _ENGINES[mode](model, x, products)
    with torch.no_grad():
        expected = _as_tuple(model(x))
        try:
            call = _ENGINES[mode](model, x, products)
        except InputError as error:
            raise RuntimeError(str(error)) from error  # leaves out this case, and not the others
    found = _as_tuple(call(x))
    worst = max(float((a.float() - b.float()).abs().max()) for a, b in zip(found, expected, strict=True))
    if not worst <= _TOLERANCES[products]:
        raise RuntimeError(f'{mode} differs from eager PyTorch by {worst:.2g}')
    return call


def require_supported(mode: str, training: bool, output: str, device: str) -> None:
    """Check that a mode has what a comparison asks for.

    Raises:
        InputError: training or a whole detector in a mode for the inference of plain tensors, or a GPU.
    """
    if mode not in INFERENCE_ONLY:
        return
    asked = 'training' if training else 'whole detectors' if output == 'whole' else ''
    if asked:
        raise InputError(f'@{mode} has no {asked}; leave out the suffix, or use @compiled')
    if mode in FOREIGN and device != 'cpu':
        raise InputError(f'@{mode} is measured on CPUs only; use --device cpu')


def _as_tuple(outputs: Any) -> tuple[Tensor, ...]:
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
