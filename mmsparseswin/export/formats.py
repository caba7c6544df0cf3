"""Write a module in one of the formats, for inputs of one size and of one or any batch size."""

import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmsparseswin.errors import InputError
from mmsparseswin.layers.fast_path import fast_path
from mmsparseswin.runtime.engines import INSTALL

OPSET = 17  # the first with layer norms
_LARGEST_ONNX = 2**31 - 2**24  # bytes; a protobuf message ends at 2 GiB


class Plan(NamedTuple):
    """What a writer needs to know.

    Attributes:
        module: tensor -> tuple of tensors, in eval mode.
        example: input of the right type and size. If the number of images is free, two or more: tracers take 1 for a
            constant.
        batch: True if the file takes any number of images; else it takes as many as the example.
        outputs: names of the outputs.
        more: further inputs by name, of fixed sizes.
        rows: True if the number of rows of every output depends on what the model sees.
    """

    module: nn.Module
    example: Tensor
    batch: bool
    outputs: tuple[str, ...]
    more: tuple[tuple[str, Tensor], ...] = ()
    rows: bool = False

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Return all inputs to trace with."""
        return self.example, *(tensor for _, tensor in self.more)

    @property
    def free(self) -> dict[str, dict[int, str]] | None:
        """Return names for the free axes of inputs and outputs."""
        if self.rows:
            return {name: {0: 'found'} for name in self.outputs}
        return {name: {0: 'batch'} for name in ('image', *self.outputs)} if self.batch else None


def write_onnx(plan: Plan, path: Path) -> None:
    """Write ONNX by PyTorch's exporter of traces, and check the file by onnx itself.

    PyTorch's other exporter, of graphs, gives the same numbers, takes thirty times as long, and cannot follow a
    detector, whose shapes depend on what it sees.

    Raises:
        InputError: more than 2 GiB.
    """
    import onnx

    size = sum(t.numel() * t.element_size() for t in plan.module.state_dict().values())
    if size > _LARGEST_ONNX:
        raise InputError(f'the weights take {size / 2**30:.1f} GiB, and ONNX holds 2: use --format torch-export')
    torch.onnx.export(
        plan.module,
        plan.inputs,
        path,
        input_names=['image', *(name for name, _ in plan.more)],
        output_names=list(plan.outputs),
        dynamic_axes=plan.free,
        opset_version=OPSET,
        dynamo=False,
    )
    onnx.checker.check_model(path, full_check=True)


def write_openvino(plan: Plan, path: Path) -> None:
    """Write OpenVINO's pair of files, NAME.xml and NAME.bin, by way of ONNX, in float32."""
    import openvino

    onnx_file = path.with_suffix('.onnx')
    write_onnx(plan, onnx_file)
    openvino.save_model(openvino.convert_model(onnx_file), path, compress_to_fp16=False)
    onnx_file.unlink()


def write_torch_export(plan: Plan, path: Path) -> None:
    """Write a file of torch.export, which torch.export.load and C++ (AOTInductor) read."""
    torch.export.save(_export(plan), path)


def write_torchscript(plan: Plan, path: Path) -> None:
    """Write TorchScript by tracing; the file refuses sizes that it was not traced for."""
    traced = torch.jit.trace(plan.module, plan.example, check_trace=False)
    sizes = list(plan.example.shape)
    sizes[0] = -1 if plan.batch else sizes[0]
    torch.jit.script(_OneSize(traced, sizes)).save(str(path))


class _OneSize(nn.Module):
    """Checks the size that tracing turned into constants."""

    def __init__(self, traced: nn.Module, sizes: list[int]) -> None:
        super().__init__()
        self.traced, self.sizes = traced, torch.jit.Attribute(sizes, list[int])

    def forward(self, image: Tensor):  # TorchScript finds the type of the result in `traced`
        """Run the model."""
        for given, wanted in zip(image.shape, self.sizes):  # noqa: B905  # TorchScript has no strict=
            if wanted != -1 and given != wanted:
                raise ValueError(f'this file takes images of {self.sizes} (-1: any), got {image.shape}')
        return self.traced(image)


class Format(NamedTuple):
    """One format: the end of its files' names, what it needs to be installed, and its writer."""

    suffix: str
    packages: tuple[str, ...]
    write: Callable[[Plan, Path], None]


FORMATS = {
    'onnx': Format('.onnx', ('onnx', 'onnxruntime'), write_onnx),
    'openvino': Format('.xml', ('onnx', 'openvino'), write_openvino),
    'torch-export': Format('.pt2', (), write_torch_export),
    'torchscript': Format('.pt', (), write_torchscript),
}


def check_installed(name: str) -> None:
    """Refuse a format whose packages are not there, before any work.

    Raises:
        InputError: which are missing, and the command that installs them.
    """
    missing = [package for package in FORMATS[name].packages if importlib.util.find_spec(package) is None]
    if missing:
        raise InputError(f'--format {name} needs {", ".join(missing)}: {INSTALL}')


def write(name: str, plan: Plan, path: Path) -> None:
    """Write `path`; PyTorch's operators run in place of our fast paths, which no tracer would see."""
    with torch.no_grad(), fast_path(False), _quiet():
        plan.module(*plan.inputs)  # fills the tables of this size: made while tracing, they would be no tensors
        FORMATS[name].write(plan, path)


def _export(plan: Plan) -> torch.export.ExportedProgram:
    free = ({0: torch.export.Dim('batch')},) if plan.batch else None
    return torch.export.export(plan.module, (plan.example,), dynamic_shapes=free, strict=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what exporters say about themselves: deprecations, and constants that tracing makes of sizes."""
    names = ('torch.onnx', 'torch.export')
    before = [(logger := logging.getLogger(name), logger.level) for name in names]
    try:
        for logger, _ in before:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        for logger, level in before:
            logger.setLevel(level)
