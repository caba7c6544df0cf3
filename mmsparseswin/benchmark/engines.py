"""Hand a model to the runtime that a benchmark names: torch.compile, frozen Inductor, OpenVINO or onnxruntime.

Each gives the same work as eager PyTorch, on the same weights and with as many threads; its outputs are compared with
eager ones before anything is timed.
"""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmsparseswin.errors import InputError
from mmsparseswin.layers.fast_path import fast_path

Call = Callable[[Tensor], Any]

# Largest difference from eager float32; the outputs come from a layer norm and are of order 1.
_TOLERANCES = {torch.float32: 1e-3, torch.bfloat16: 0.15}
_OPSET = 18


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


def _openvino(model: nn.Module, x: Tensor, precision: torch.dtype) -> Call:
    import openvino

    with _quiet():
        graph = openvino.convert_model(model, example_input=x, input=[list(x.shape)])
    # The hint: by itself OpenVINO computes in bfloat16 where the processor has it.
    settings = dict(
        PERFORMANCE_HINT='LATENCY',
        INFERENCE_NUM_THREADS=torch.get_num_threads(),
        INFERENCE_PRECISION_HINT='bf16' if precision == torch.bfloat16 else 'f32',
    )
    request = openvino.compile_model(graph, 'CPU', settings).create_infer_request()

    def call(images: Tensor) -> tuple[Tensor, ...]:
        found = request.infer([images.numpy()], share_inputs=True, share_outputs=True)
        return tuple(torch.from_numpy(found[i]) for i in range(len(found)))

    return call


def _onnxruntime(model: nn.Module, x: Tensor, precision: torch.dtype) -> Call:
    import onnxruntime

    if precision != torch.float32:
        raise RuntimeError('onnxruntime has no bfloat16 kernels for CPUs')
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'model.onnx'
        with _quiet():
            torch.onnx.export(model, (x,), path, dynamo=True, opset_version=_OPSET, external_data=False, verbose=False)
        session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    name = session.get_inputs()[0].name
    return lambda images: tuple(map(torch.from_numpy, session.run(None, {name: images.numpy()})))


_ENGINES: dict[str, Callable[[nn.Module, Tensor, torch.dtype], Call]] = dict(
    compiled=_compiled, inductor=_inductor, openvino=_openvino, onnxruntime=_onnxruntime
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
        ImportError: the runtime is not installed.
        RuntimeError: it cannot run the model in this type, or gives other numbers than eager PyTorch.
    """
    if mode == 'eager':
        return model
    if mode not in INFERENCE_ONLY:
        return _ENGINES[mode](model, x, products)
    plain = fast_path(False) if mode in FOREIGN else contextlib.nullcontext()  # graphs are of PyTorch's operators
    with torch.no_grad(), plain:
        expected = _as_tuple(model(x))
        call = _ENGINES[mode](model, x, products)
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


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide what exporters print: warnings of the tracer and a log of their steps."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(before)
