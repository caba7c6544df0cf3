"""Inert stand-ins for the Python objects that old checkpoints keep beside their weights.

OpenMMLab files hold a ``HistoryBuffer`` and numpy scalars, STViT-R's and Microsoft's a yacs ``CfgNode``. torch's
``weights_only`` unpickler never imports anything and refuses such names. Here each of them is given to it under a class
that does nothing: whatever is built from it is empty, and no code of the file or of the named module runs.

A *call* of an unknown function is another matter (that is how a pickle runs code): the stand-in refuses it by name.
"""

import pickle
import pickletools
import re
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from pathlib import Path
from typing import Any

# Classes and helpers that harmless objects call when they are rebuilt. They are not called here either.
_HARMLESS_CALL = re.compile(
    r'(numpy|mmengine|mmcv|yacs|addict|omegaconf|datetime|pathlib|collections|argparse)\..+'
    r'|builtins\.(bool|bytes|dict|float|frozenset|getattr|int|list|object|range|slice|str|tuple)|copyreg\._reconstructor'
)
# Objects of these modules are rebuilt with a tuple for a state; all others with a dict, or as a dict.
_OPAQUE = re.compile(r'(numpy|builtins|datetime|pathlib)\..+')
_TORCH_FILE_PICKLES = 4  # a torch file before 1.6 starts with: magic number, version, system, the object


class _RefusesCalls(type):
    path: str

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Stand for a function call in the pickle."""
        if not _HARMLESS_CALL.fullmatch(cls.path):
            raise pickle.UnpicklingError(f'the file calls {cls.path}')
        return super().__call__(*args, **kwargs)


class _Opaque(metaclass=_RefusesCalls):
    path = ''

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Forget the state."""


class _Dict(metaclass=_RefusesCalls):
    path = ''

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return OrderedDict()


def stand_in(path: str) -> tuple[Any, str]:
    """``(class, path)`` as `torch.serialization.safe_globals` takes it, for the global ``path``."""
    base = _Opaque if _OPAQUE.fullmatch(path) else _Dict
    return _RefusesCalls(path.rsplit('.', 1)[-1], (base,), {'path': path}), path


def named_globals(path: Path) -> set[str]:
    """Dotted names of every class and function that a torch file names, found without building anything."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith('/data.pkl') or name == 'data.pkl']
            return {name for member in members for name in _globals_of(pickletools.genops(archive.read(member)))}
    found: set[str] = set()
    with open(path, 'rb') as file:
        for _ in range(_TORCH_FILE_PICKLES):
            try:
                found |= set(_globals_of(pickletools.genops(file)))
            except ValueError:
                break  # not torch's sequence of pickles: a plain one, or no pickle at all
    return found


def _globals_of(operations: Any) -> list[str]:
    found, strings = [], ['', '']
    for operation, argument, _ in operations:
        if operation.name in ('GLOBAL', 'INST'):
            module, name = argument.split(' ', 1)
        elif operation.name == 'STACK_GLOBAL':
            module, name = strings[-2:]
        else:
            if isinstance(argument, str):
                strings.append(argument)
            continue
        # Protocol 2, torch's own, keeps Python 2 names; torch's unpickler translates them by the same tables.
        module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        found.append(f'{module}.{name}')
    return found
