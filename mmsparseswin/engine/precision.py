"""Training in the precision that pays on this machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from torch import nn

from mmsparseswin.errors import InputError
from mmsparseswin.layers.processor import processor
from mmsparseswin.registry import OPTIM_WRAPPERS

PRECISIONS = ('auto', 'bfloat16', 'float32')


@OPTIM_WRAPPERS.register_module()
class PrecisionOptimWrapper(OptimWrapper):
    """OptimWrapper that trains under bfloat16 autocast or in float32, on GPUs and CPUs alike.

    bfloat16 has the exponent range of float32: gradients do not underflow, so there is no loss scaler to keep.

    Args:
        precision: 'bfloat16', 'float32', or 'auto': whichever is faster on this machine, see :func:`choose_precision`.
        kwargs: of mmengine's OptimWrapper.

    Raises:
        InputError: another precision.
    """

    def __init__(self, *args: Any, precision: str = 'auto', **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.precision, reason = choose_precision(precision)
        print_log(f'Precision of training: {self.precision} ({reason})', 'current')

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast the forward pass, if the precision is bfloat16."""
        half = autocast(dtype=torch.bfloat16) if self.precision == 'bfloat16' else nullcontext()
        with super().optim_context(model), half:
            yield


def choose_precision(wanted: str = 'auto') -> tuple[str, str]:
    """Choose between bfloat16 and float32.

    Args:
        wanted: one of ``PRECISIONS``; 'auto' leaves it to the machine.

    Returns:
        'bfloat16' or 'float32', and the reason in a few words.

    Raises:
        InputError: ``wanted`` is none of them.
    """
    if wanted not in PRECISIONS:
        raise InputError(f'precision {wanted!r} is unknown; choose one of {", ".join(PRECISIONS)}')
    if get_device() != 'cpu':
        fast, reason = _of_gpu()
    else:
        fast, _, reason = str(processor()).partition(': ')
    if wanted in ('auto', fast):
        return fast, reason
    slow = ', which is slow here' if wanted == 'bfloat16' else ''
    return wanted, f'as asked for{slow}; {reason}'


def _of_gpu() -> tuple[str, str]:
    if not torch.cuda.is_available():
        return 'float32', f'device {get_device()}'
    name = torch.cuda.get_device_name()
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return 'bfloat16', f'{name} has bfloat16'
    return 'float32', f'{name} has no bfloat16; --amp trains in float16'


def asked_precision(amp: bool | None) -> str | None:
    """Return what --amp, --no-amp or else MMSPARSESWIN_PRECISION asks for; None leaves it to the config.

    Args:
        amp: True for --amp, False for --no-amp, None for neither.

    Raises:
        InputError: the variable names no precision.
    """
    if amp is not None:
        return 'bfloat16' if amp else 'float32'
    wanted = os.environ.get('MMSPARSESWIN_PRECISION') or None
    if wanted not in (None, *PRECISIONS):
        raise InputError(f'MMSPARSESWIN_PRECISION={wanted}: choose one of {", ".join(PRECISIONS)}')
    return wanted
