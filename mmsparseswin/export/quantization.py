"""Quantise an exported file to int8 after training: by NNCF for OpenVINO, by onnxruntime's own tool for ONNX.

Weights become int8 per output channel, and the inputs of matrix products and convolutions per tensor, with ranges
taken from pictures. Layer norms, softmax, GELU and sums stay in float32: their ranges are wide, and they take little
of the time.
"""

import contextlib
import importlib.util
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mmsparseswin.errors import InputError

INSTALL = "pip install 'mmsparseswin[quantize]'"
_PRODUCTS = ['Conv', 'Gemm', 'MatMul']


def is_quantized(name: str) -> bool:
    """Return True for a format that is written in int8, too."""
    return name in _QUANTIZERS


def check_format(name: str) -> None:
    """Refuse a format that is not quantised, before any work.

    Raises:
        InputError: another format, or a missing package.
    """
    if name not in _QUANTIZERS:
        raise InputError(f'--precision int8: use --format {" or ".join(_QUANTIZERS)}; {name} is not quantised')
    if name == 'openvino' and importlib.util.find_spec('nncf') is None:
        raise InputError(f'--precision int8 --format openvino needs nncf: {INSTALL}')


def quantize(name: str, path: Path, images: Iterable[np.ndarray]) -> None:
    """Turn the float32 file at `path` into int8.

    Args:
        name: 'onnx' or 'openvino'.
        path: the file, written anew.
        images: inputs of the file to take ranges from.
    """
    with _quiet():
        _QUANTIZERS[name](path, images)


def _by_nncf(path: Path, images: Iterable[np.ndarray]) -> None:
    import nncf
    import openvino

    inputs = list(images)
    # TRANSFORMER keeps norms and softmax, and moves outliers of activations into weights (SmoothQuant).
    # Processors without VNNI add products of 8 bits in 16: weights of 7 bits do not overflow there.
    model = nncf.quantize(
        openvino.Core().read_model(path),
        nncf.Dataset(inputs),
        subset_size=len(inputs),
        model_type=nncf.ModelType.TRANSFORMER,
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
    )
    # Beside it: the weights of the file that was read are still mapped.
    written = path.with_name(f'int8.{path.name}')
    openvino.save_model(model, written, compress_to_fp16=False)
    for suffix in ('.bin', '.xml'):
        os.replace(written.with_suffix(suffix), path.with_suffix(suffix))


def _by_onnxruntime(path: Path, images: Iterable[np.ndarray]) -> None:
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = path.with_suffix('.prepared.onnx')
    quant_pre_process(path, prepared, skip_symbolic_shape=True)
    graph = onnx.load(prepared).graph
    weights = {one.name for one in graph.initializer}
    # Products of two activations, scores and their values, stay in float32, too.
    mixed = [one.name for one in graph.node if one.op_type == 'MatMul' and not weights & set(one.input)]
    quantization.quantize_static(
        prepared,
        path,
        _Reader(graph.input[0].name, images),
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=_PRODUCTS,
        per_channel=True,
        reduce_range=True,  # weights of 7 bits, as above
        nodes_to_exclude=mixed,
        # What follows a product, a sum or a norm, gets float32.
        extra_options={'OpTypesToExcludeOutputQuantization': _PRODUCTS},
    )
    prepared.unlink()
    onnx.checker.check_model(path, full_check=True)


class _Reader:
    """Inputs one by one, as onnxruntime asks for them."""

    def __init__(self, name: str, images: Iterable[np.ndarray]) -> None:
        self._inputs = ({name: image} for image in images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next input, or None at the end."""
        return next(self._inputs, None)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return self._inputs


_QUANTIZERS: dict[str, Callable[[Path, Iterable[np.ndarray]], Any]] = {'onnx': _by_onnxruntime, 'openvino': _by_nncf}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the tools' logs, and their hints to prepare the model."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
