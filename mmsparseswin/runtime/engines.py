"""One interface over onnxruntime and OpenVINO, on the CPU."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from mmsparseswin.errors import InputError

INSTALL = "pip install 'mmsparseswin[export]'"
PRECISIONS = ('fp32', 'bf16')  # of computation
Size = int | str | None  # a number, the name of a free dimension, or a free one without a name


class Port(NamedTuple):
    """An input or output of a file."""

    name: str
    shape: tuple[Size, ...] | None  # None: not even the number of dimensions is known


class Engine(Protocol):
    """A model that a runtime has loaded."""

    inputs: list[Port]
    outputs: list[Port]

    def run(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Compute all outputs of the inputs, both in the file's order."""
        ...


def open_engine(path: str | os.PathLike, threads: int = 0, precision: str = 'fp32', shared: bool = False) -> Engine:
    """Load a file by the runtime that its name tells: ``.onnx`` by onnxruntime, ``.xml`` by OpenVINO.

    Args:
        path: the file.
        threads: threads of one run; 0 leaves their number to the runtime.
        precision: one of `PRECISIONS`; bf16 is OpenVINO's, on processors that have it.
        shared: give outputs that the next run overwrites, where that saves a copy.

    Raises:
        InputError: no such file, a name that tells no runtime, a runtime that is not installed, cannot read the file or
            does not compute in this precision.
    """
    if precision not in PRECISIONS:
        raise InputError(f'precision {precision!r}: use one of {", ".join(PRECISIONS)}')
    path = Path(path)
    kind = _ENGINES.get(path.suffix)
    if kind is None:
        raise InputError(f'{path}: exported files end in {" or ".join(_ENGINES)}')
    if not path.is_file():
        raise InputError(f'no exported model at {path}')
    return kind(path, threads, precision, shared)


class OnnxEngine:
    """A file of ONNX in onnxruntime."""

    def __init__(self, path: Path, threads: int, precision: str, shared: bool) -> None:
        if precision != 'fp32':
            raise InputError(f'onnxruntime has no {precision} kernels for CPUs; use OpenVINO')
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise InputError(f'{path} needs onnxruntime: {INSTALL}') from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
        except Exception as error:  # its exceptions share no class
            raise InputError(f'onnxruntime cannot read {path}: {_line(error)}') from error
        self.inputs = [Port(one.name, tuple(one.shape)) for one in self._session.get_inputs()]
        self.outputs = [Port(one.name, tuple(one.shape)) for one in self._session.get_outputs()]

    def run(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Compute all outputs."""
        return self._session.run(None, {port.name: array for port, array in zip(self.inputs, arrays, strict=True)})


class OpenVinoEngine:
    """A file of OpenVINO."""

    def __init__(self, path: Path, threads: int, precision: str, shared: bool) -> None:
        try:
            import openvino
        except ModuleNotFoundError as error:
            raise InputError(f'{path} needs OpenVINO: {INSTALL}') from error
        core = openvino.Core()
        if precision == 'bf16' and 'BF16' not in core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES'):
            raise InputError(f'{path}: this processor has no bfloat16, and OpenVINO would take float32; use fp32')
        # OpenVINO by itself computes in bfloat16 where the processor has it.
        hint = 'bf16' if precision == 'bf16' else 'f32'
        options: dict[str, str | int] = {'INFERENCE_PRECISION_HINT': hint, 'PERFORMANCE_HINT': 'LATENCY'}
        if threads:
            options['INFERENCE_NUM_THREADS'] = threads
        try:
            model = core.compile_model(path, 'CPU', options)
        except Exception as error:
            raise InputError(f'OpenVINO cannot read {path}: {_line(error)}') from error
        self._request, self._shared = model.create_infer_request(), shared
        self.inputs = [_port(one) for one in model.inputs]
        self.outputs = [_port(one) for one in model.outputs]

    def run(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Compute all outputs."""
        found = self._request.infer(arrays, share_inputs=True, share_outputs=self._shared)
        return list(found.values())


_ENGINES: dict[str, Callable[[Path, int, str, bool], Engine]] = {'.onnx': OnnxEngine, '.xml': OpenVinoEngine}


def _port(one) -> Port:
    shape = one.get_partial_shape()
    sizes = None if shape.rank.is_dynamic else tuple(d.get_length() if d.is_static else None for d in shape)
    return Port(one.get_any_name(), sizes)


def _line(error: Exception) -> str:
    return ' '.join(str(error).split())[:300]
