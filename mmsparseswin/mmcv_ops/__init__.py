"""Provide mmcv's compiled operators by PyTorch and torchvision, for an mmcv without compiled code.

`_ext.py` of this folder is installed as `mmcv/_ext.py` and looks operators up here. Names and arguments are those of
mmcv's C++ extension: most operators write their result into a tensor that the caller made, and backward operators add
to it. Arithmetic is float32 (float64 for float64 inputs) whatever the inputs' type. The modules know torch and
torchvision only; CPU and GPU take the same code.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

_MODULES = {
    'suppression': ('nms', 'softnms', 'nms_match', 'bbox_overlaps'),
    'roi_align': ('roi_align_forward', 'roi_align_backward'),
    'roi_pool': ('roi_pool_forward', 'roi_pool_backward'),
    'deform_conv': (
        'deform_conv_forward',
        'deform_conv_backward_input',
        'deform_conv_backward_parameters',
        'modulated_deform_conv_forward',
        'modulated_deform_conv_backward',
    ),
    'focal_loss': (
        'sigmoid_focal_loss_forward',
        'sigmoid_focal_loss_backward',
        'softmax_focal_loss_forward',
        'softmax_focal_loss_backward',
    ),
    'deform_attention': ('ms_deform_attn_forward', 'ms_deform_attn_backward'),
    'masked_conv': ('masked_im2col_forward', 'masked_col2im_forward'),
    'carafe': ('carafe_naive_forward', 'carafe_naive_backward', 'carafe_forward', 'carafe_backward'),
    'info': ('get_compiler_version', 'get_compiling_cuda_version'),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

OPERATORS = tuple(_MODULE_OF)
COMPILE_IN_CLONE = 'bash tools/setup_env.sh --compiled-ops'
COMPILE_WITH_PIP = (
    'MMCV_WITH_OPS=1 pip install --no-build-isolation --no-cache-dir --force-reinstall --no-deps onedl-mmcv'
)


def find_operator(name: str) -> Callable[..., Any]:
    """Return the operator `name`; for one that is not in `OPERATORS`, a function that raises when called."""
    if name in _MODULE_OF:
        return getattr(import_module(f'{__name__}.{_MODULE_OF[name]}'), name)

    def missing(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f'mmcv operator {name} exists only compiled; compile mmcv by `{COMPILE_IN_CLONE}` in a clone '
            f'or by `{COMPILE_WITH_PIP}`'
        )

    missing.__name__ = name
    return missing
