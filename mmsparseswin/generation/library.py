"""Import diffusers, which is an extra of this package."""

from importlib import import_module
from typing import Any

from mmsparseswin.errors import InputError


def diffusers(module: str = '') -> Any:
    """Return the module ``diffusers`` or one inside it.

    Raises:
        InputError: it is not installed.
    """
    try:
        return import_module(f'diffusers.{module}' if module else 'diffusers')
    except ModuleNotFoundError as error:
        if (error.name or '').partition('.')[0] != 'diffusers':
            raise
        raise InputError("drawing needs diffusers: pip install 'mmsparseswin[generation]'") from None
