"""Provide mmcv's operators by mmsparseswin.mmcv_ops. Uninstalling mmsparseswin removes this file.

Installed as mmcv/_ext.py. Python finds a compiled `_ext` (a shared library) in the same folder first.
"""

from collections.abc import Callable
from typing import Any


def __getattr__(name: str) -> Callable[..., Any]:
    """Return a function that looks up the operator on its first call.

    Not before: mmcv.ops asks for all names while it is being imported, when mmsparseswin, which imports mmcv, may not
    be complete either.
    """
    if name.startswith('__'):
        raise AttributeError(name)

    def operator(*args: Any, **kwargs: Any) -> Any:
        from mmsparseswin.mmcv_ops import find_operator

        globals()[name] = found = find_operator(name)
        return found(*args, **kwargs)

    operator.__name__ = name
    return operator
