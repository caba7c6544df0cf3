"""bfloat16 training where mmengine's AmpOptimWrapper refuses to start."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from torch import nn

from mmsparseswin.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """OptimWrapper under bfloat16 autocast, on a CPU too.

    bfloat16 has the exponent range of float32: gradients do not underflow, so there is no loss scaler to keep.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast the forward pass."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield
