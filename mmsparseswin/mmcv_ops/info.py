"""Report the compiler of mmcv where nothing is compiled."""


def get_compiler_version() -> str:
    """Return the line that stands for the compiler's version in mmcv's and mmdet's reports."""
    return 'not compiled: torchvision operators'


def get_compiling_cuda_version() -> str:
    """Return the line that stands for the compiler's CUDA version."""
    return 'not compiled: torchvision operators'
