"""Find this package's tools and configs: inside the wheel, or in the clone around the package."""

from pathlib import Path

from mmsparseswin.errors import InputError

PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """Return the folder `name`, 'tools' or 'configs'.

    Raises:
        InputError: the folder is missing.
    """
    for root in (PACKAGE / '.mim', PACKAGE.parent):
        if (root / name).is_dir():
            return (root / name).resolve()
    raise InputError(f'{PACKAGE} has no {name} beside it: install mmsparseswin by pip, or work in a clone of it')
