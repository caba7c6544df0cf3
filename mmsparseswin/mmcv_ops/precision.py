"""Choose the type in which the operators compute."""

import struct

import torch
from torch import Tensor


def widen(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors in one type: float64 if any is float64, else float32."""
    dtype = torch.float64 if any(x.dtype == torch.float64 for x in tensors) else torch.float32
    return tuple(x.to(dtype) for x in tensors)


def round_to_float32(number: float) -> float:
    """Return the nearest float32: C++ takes thresholds as float32, and boxes may lie exactly on one."""
    return struct.unpack('f', struct.pack('f', number))[0]
