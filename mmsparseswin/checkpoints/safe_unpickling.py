"""Decide, for every class and function that a torch file names, what torch's ``weights_only`` unpickler may put there.

Names of tensors are torch's own. Objects that training writes (:mod:`mmsparseswin.checkpoints.training_objects`) are
rebuilt by functions of ours. Any other class, such as the ``CfgNode`` of STViT-R's and Microsoft's files, is replaced
by a stand-in that does nothing: no module is imported, no code of the file or of the named class runs. A *call* of an
unknown function is how a pickle runs code: it is refused, and so is every name of Python itself that no weights need.
"""

import pickletools
import re
import sys
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmsparseswin.checkpoints.training_objects import REBUILT, RefusalError

# The names that torch.save writes for plain tensors and that torch's unpickler builds.
_OF_TENSORS = re.compile(
    r'torch\.(cuda\.)?\w*Storage|torch\.storage\.(Typed|Untyped)Storage|torch\.(Size|device)'
    r'|torch\.(bool|int|long|short|half|double|b?float\d*\w*|u?int\d+|complex\d+)'
    r'|torch\._utils\._rebuild_(tensor|tensor_v2|tensor_v3|parameter|parameter_with_state)'
    r'|torch\.nn\.parameter\.Parameter|torch\.serialization\._get_layout'
    r'|collections\.(OrderedDict|Counter)|_codecs\.encode|builtins\.(set|complex)'
)
_ODD_TENSORS = {
    'torch._utils._rebuild_qtensor': 'quantized tensors',
    'torch._utils._rebuild_sparse_tensor': 'sparse tensors',
    'torch._utils._rebuild_sparse_csr_tensor': 'sparse tensors',
    'torch._utils._rebuild_meta_tensor_no_storage': 'tensors without values (device meta)',
    'torch._utils._rebuild_nested_tensor': 'nested tensors',
    'torch._utils._rebuild_wrapper_subclass': 'tensors of another class',
    'torch._utils._rebuild_device_tensor_from_numpy': 'tensors of another device',
    'torch._utils._rebuild_device_tensor_from_cpu_tensor': 'tensors of another device',
    'torch._tensor._rebuild_from_type_v2': 'tensors of another class',
}
# Classes and helpers that harmless objects call when they are rebuilt. They are not called here either.
_HARMLESS_CALL = re.compile(
    r'numpy\._?core\.(multiarray|numeric|records)\..+|(datetime|pathlib|collections|argparse)\..+'
    r'|(mmengine|mmcv|yacs|addict|omegaconf)\.(.+\.)?[A-Z]\w*'
    r'|builtins\.(bool|bytes|dict|float|frozenset|int|list|object|range|slice|str|tuple)|copyreg\._reconstructor'
)
# Objects of these modules are rebuilt with a tuple for a state; all others with a dict, or as a dict.
_OPAQUE = re.compile(r'(numpy|builtins|datetime|pathlib)\..+')
_TORCH_FILE_PICKLES = 5  # a torch file before 1.6 starts with: magic number, version, system, the object, storage keys
# Codecs that grow their input or take quadratic time; bytes are pickled with latin1.
_ODD_CODECS = re.compile(r'(hex|base_?64|bz2|zip|zlib|uu|quopri|punycode|idna|rot_?13)(_codec)?', re.IGNORECASE)


class _RefusesCalls(type):
    path: str

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Stand for a function call in the pickle."""
        if not _HARMLESS_CALL.fullmatch(cls.path):
            raise RefusalError(f'it calls {cls.path}')
        return super().__call__(*args, **kwargs)


class Opaque(metaclass=_RefusesCalls):
    """An object whose content is left in the file."""

    path = ''

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Take any arguments and forget them."""
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Forget the state."""


class _Dict(metaclass=_RefusesCalls):
    path = ''

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return OrderedDict()


def is_stand_in(value: Any) -> bool:
    """Return True if `value` is a stand-in class or an object of one."""
    return isinstance(value, (Opaque, _RefusesCalls))


@dataclass
class Scan:
    """Names that the pickles of a file hold, found without building anything."""

    names: set[str] = field(default_factory=set)  # dotted
    protocol: int = 0
    odd_codec: str = ''

    @property
    def others(self) -> list[str]:
        """The names beside those of plain tensors."""
        return sorted(name for name in self.names if not _OF_TENSORS.fullmatch(name))


def scan(path: Path) -> Scan:
    """Read the opcodes of all pickles in a torch file.

    Raises:
        ValueError: no pickle, or a broken one.
    """
    found = Scan()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith('/data.pkl') or name == 'data.pkl']
            for member in members:
                _read(pickletools.genops(archive.read(member)), found)
        return found
    with open(path, 'rb') as file:
        for number in range(_TORCH_FILE_PICKLES):
            try:
                _read(pickletools.genops(file), found)
            except ValueError:
                if number == 0:
                    raise
                break  # not torch's sequence of pickles: a plain one
    return found


def _read(operations: Iterable[tuple[Any, Any, Any]], found: Scan) -> None:
    strings = ['', '']
    for operation, argument, _ in operations:
        if operation.name in ('GLOBAL', 'INST'):
            module, name = argument.split(' ', 1)
        elif operation.name == 'STACK_GLOBAL':
            module, name = strings[-2:]
        else:
            if isinstance(argument, str):
                strings = [strings[-1], argument]
                if _ODD_CODECS.fullmatch(argument.replace('-', '_')):
                    found.odd_codec = argument
            elif operation.name == 'PROTO':
                found.protocol = max(found.protocol, argument)
            continue
        # Protocol 2, torch's own, keeps Python 2 names; torch's unpickler translates them by the same tables.
        module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        found.names.add(f'{module}.{name}')


def replacements(found: Scan) -> list[Callable | tuple[Callable, str]]:
    """Return the ``(object, dotted name)`` pairs of a scanned file for `torch.serialization.safe_globals`.

    Raises:
        RefusalError: a name that no weights need and that could run code or take all memory; it is named.
    """
    if '_codecs.encode' in found.names and found.odd_codec:
        raise RefusalError(f'it decodes with {found.odd_codec}')
    result: list[Callable | tuple[Callable, str]] = []
    for name in sorted(found.names):
        if name in REBUILT:
            result.append((REBUILT[name], name))
        elif name in _ODD_TENSORS:
            raise RefusalError(f'it holds {_ODD_TENSORS[name]}, and weights are dense numbers')
        elif not _OF_TENSORS.fullmatch(name):
            if _is_of_python(name) and not _HARMLESS_CALL.fullmatch(name):
                raise RefusalError(f'it names {name}')
            result.append((_stand_in(name), name))
    return result


def _is_of_python(name: str) -> bool:
    """Return True for Python's library, and for torch but for its modules, which come with pickled models."""
    top = name.split('.', 1)[0]
    return top in sys.stdlib_module_names or (top == 'torch' and not name.startswith('torch.nn.modules.'))


def _stand_in(path: str) -> Any:
    base = Opaque if _OPAQUE.fullmatch(path) else _Dict
    return _RefusesCalls(path.rsplit('.', 1)[-1], (base,), {'path': path})
