import pkgutil
from importlib import import_module

import mmcv.ops
import pytest

from mmsparseswin.mmcv_ops import _ext


@pytest.fixture
def our_operators(monkeypatch):
    """Let all of mmcv.ops call this project's operators, where compiled ones are installed too."""
    for module in pkgutil.iter_modules(mmcv.ops.__path__, 'mmcv.ops.'):
        if hasattr(loaded := import_module(module.name), 'ext_module'):
            monkeypatch.setattr(loaded, 'ext_module', _ext)
