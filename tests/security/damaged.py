"""Files that are damaged or odd: each must be refused in one line, in bounded time and memory."""

import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hostile import MARK, call, named, read_members, text, write_members, write_with_opcodes

Content = dict[str, Any]
WORDS: dict[str, str] = {}  # name -> what its error says


def _cyclic(content: Content) -> None:
    content['meta']['x'] = content['meta']


def _laughs(content: Content) -> None:
    node: Any = [1] * 10
    for _ in range(20):
        node = [node] * 10
    content['meta']['x'] = node


def _all_weights(change: Callable[[torch.Tensor], Any]) -> Callable[[Content], None]:
    def apply(content: Content) -> None:
        state = content['state_dict']
        state.update({name: change(value) for name, value in state.items() if value.is_floating_point()})

    return apply


def _one_weight(change: Callable[[torch.Tensor], Any]) -> Callable[[Content], None]:
    def apply(content: Content) -> None:
        name = next(name for name in content['state_dict'] if 'conv' in name)
        content['state_dict'][name] = change(content['state_dict'][name])

    return apply


def _set(*keys: Any, to: Any) -> Callable[[Content], None]:
    def apply(content: Content) -> None:
        node: Any = content
        for key in keys[:-1]:
            node = node[key]
        node[keys[-1]] = to

    return apply


# Refused on every route: name -> (change of a training checkpoint, words of the error).
CONTENT: dict[str, tuple[Callable[[Content], None], str]] = {
    'quantized': (_one_weight(lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8)), 'quantized'),
    'sparse': (_one_weight(lambda t: t.to_sparse()), 'sparse'),
    'sparse rows': (_one_weight(lambda t: t.flatten(1).to_sparse_csr()), 'sparse'),
    'complex': (_one_weight(lambda t: t.to(torch.complex64)), 'complex'),
    'meta device': (_one_weight(lambda t: t.to('meta')), 'without values'),
    'nan': (_all_weights(lambda t: t * float('nan')), 'tensors are not finite'),
    'inf in one': (_one_weight(lambda t: t / 0), 'not finite'),
    'half inf': (_one_weight(lambda t: (t / 0).half()), 'not finite'),
    'expanded': (_one_weight(lambda t: torch.zeros(1).expand(300_000, 300_000)), 'more than the file'),
    'cyclic': (_cyclic, 'contains itself'),
    'unfolds to 10 ** 21 items': (_laughs, 'unfolds to more'),
    'number as a name': (_set('state_dict', 3, to=torch.ones(1)), 'must be words'),
    'tensor as a key': (_set('meta', 'x', to={torch.ones(1): 1}), 'as a key'),
    'text as weights': (_set('state_dict', 'backbone.conv1.weight', to='x'), 'is a str instead of a tensor'),
    'state_dict None': (_set('state_dict', to=None), 'NoneType instead of a dict'),
    'state_dict list': (_set('state_dict', to=[torch.ones(1)]), 'list instead of a dict'),
    'meta list': (_set('meta', to=[1]), 'meta is a list'),
    'meta None': (_set('meta', to=None), 'meta is a NoneType'),
    'dataset_meta text': (_set('meta', 'dataset_meta', to='coco'), 'dataset_meta is a str'),
    'classes numbers': (_set('meta', 'dataset_meta', 'classes', to=[1, 2]), 'no list of names'),
}

# Refused where a training goes on from it; its weights load.
RESUME: dict[str, tuple[Callable[[Content], None], str]] = {
    'optimizer None': (_set('optimizer', to=None), 'optimizer is no dict'),
    'optimizer list': (_set('optimizer', to=[]), 'optimizer is no dict'),
    'optimizer without state': (_set('optimizer', 'state', to=None), 'no state'),
    'optimizer groups': (_set('optimizer', 'param_groups', to=[1]), 'broken groups'),
    'optimizer fewer groups': (_set('optimizer', 'param_groups', to=[]), 'cannot be resumed'),
    'lr text': (lambda content: content['optimizer']['param_groups'][0].update(lr='x'), 'lr that is no number'),
    'epoch text': (_set('meta', 'epoch', to='1'), 'meta.epoch'),
    'epoch negative': (_set('meta', 'epoch', to=-1), 'meta.epoch'),
    'iter None': (_set('meta', 'iter', to=None), 'meta.iter'),
    'seed text': (_set('meta', 'seed', to='1'), 'meta.seed'),
    'message_hub None': (_set('message_hub', to=None), 'message_hub is no dict'),
    'message_hub incomplete': (_set('message_hub', 'runtime_info', to=None), 'runtime_info is no dict'),
    'history of text': (_set('message_hub', 'log_scalars', 'train/lr', to='x'), 'no history'),
    'kept steps': (_set('message_hub', 'runtime_info', 'keep_ckpt_ids', to=['../../x']), 'no numbers'),
    'schedulers text': (_set('param_schedulers', to='x'), 'param_schedulers are no list'),
}


def write_all(folder: Path, checkpoint: Path) -> list[Path]:
    """Write every damaged file made from a training checkpoint; return their paths."""
    written: list[Path] = []

    def new(name: str, words: str) -> Path:
        written.append(folder / f'{name.replace(" ", "_")}.pth')
        WORDS[written[-1].stem] = words
        return written[-1]

    for name, (change, words) in CONTENT.items():
        content = torch.load(checkpoint, weights_only=False)
        change(content)
        torch.save(content, new(name, words))
    members, whole = read_members(checkpoint), checkpoint.read_bytes()
    pkl = next(name for name in members if name.endswith('data.pkl'))
    write_members(new('compressed', 'compressed again'), members, zipfile.ZIP_DEFLATED)
    bomb = {**members, 'archive/data/0': bytes(2**28)}
    write_members(new('inflates a thousandfold', 'compressed again'), bomb, zipfile.ZIP_DEFLATED)
    largest = max((name for name in members if '/data/' in name), key=lambda name: len(members[name]))
    for name, member in (('flipped bit of a weight', largest), ('flipped bit of the pickle', pkl)):
        flipped = bytearray(whole)
        flipped[whole.index(members[member]) + 11] ^= 16
        new(name, 'corrupt').write_bytes(flipped)
    for part in (0.2, 0.6, 0.99):
        new(f'cut at {part}', 'cut off or corrupt').write_bytes(whole[: int(len(whole) * part)])
    write_members(new('a member less', 'corrupt'), {n: d for n, d in members.items() if not n.endswith('data/3')})
    write_members(new('no pickle', 'not a checkpoint'), {'notes.txt': b'x'})
    write_members(new('a shorter member', 'corrupt'), {**members, 'archive/data/1': b'1234'})
    new('empty', 'is empty').write_bytes(b'')
    new('a web page', 'web page').write_bytes(b'<!DOCTYPE html><html></html>')
    new('text', 'not a checkpoint').write_bytes(b'weights, honestly')
    new('noise', 'corrupt').write_bytes(b'\x80\x02' + bytes(range(256)))
    new('noise in a zip', 'corrupt').write_bytes(b'PK\x03\x04' + bytes(5000))
    new('a plain pickle', 'corrupt').write_bytes(pickle.dumps({'state_dict': {}}, 2))
    torch.save([torch.ones(2)], new('a list', 'list instead of a dict'))
    torch.save(torch.ones(2), new('a tensor', 'instead of a dict'))
    torch.save(torch.nn.Linear(2, 2), new('a module', 'state_dict()'))
    torch.save({'model': torch.nn.Linear(2, 2)}, new('a module in a dict', 'state_dict()'))
    content = torch.load(checkpoint, weights_only=False)
    content['meta']['x'] = MARK
    history = named('mmengine.logging.history_buffer HistoryBuffer')
    number = named('numpy._core.multiarray scalar')
    big = b'\x8a\x05' + struct.pack('<Q', 10**11)[:5]
    for name, payload, words in (
        ('3000 deep', (b'}' + text('x')) * 3000 + b'N' + b's' * 3000, 'nested more than'),
        ('history of nothing', history + b')\x81}b', 'HistoryBuffer'),
        ('history called', history + b')R', 'HistoryBuffer'),
        ('number of no type', number + text('f8') + text('x') + b'\x86R', 'broken'),
        ('array of objects', named('numpy dtype') + text('O8') + b'\x89\x88\x87R', 'no numbers'),
        ('100 GB of a tensor', call('torch Tensor', big), 'torch.Tensor'),
        ('100 GB of a storage', call('torch.storage UntypedStorage', big), 'corrupt'),
        ('100 GB of bytes', call('builtins bytearray', big), 'bytearray'),
        ('codec that doubles', call('_codecs encode', text('x'), text('hex')), 'hex'),
        ('memo that is not there', b'h\xff', 'corrupt'),
        ('unknown opcode', b'\xff', 'corrupt'),
        ('endless string', b'X\xff\xff\xff\x7fabc', 'corrupt'),
        ('negative storage', call('torch.storage UntypedStorage', b'J\xff\xff\xff\xff'), 'corrupt'),
    ):
        write_with_opcodes(new(name, words), content, payload)
    return written


def write_resume(folder: Path, checkpoint: Path) -> list[Path]:
    """Write the files that only a resumed training refuses; return their paths."""
    written = []
    for name, (change, words) in RESUME.items():
        content = torch.load(checkpoint, weights_only=False)
        change(content)
        written.append(folder / f'{name.replace(" ", "_")}.pth')
        WORDS[written[-1].stem] = words
        torch.save(content, written[-1])
    content = torch.load(checkpoint, weights_only=False)
    content['param_schedulers'] = [{'step': np.float64(1.0)}]
    written.append(folder / 'scheduler_method.pth')
    WORDS['scheduler_method'] = 'would replace'
    torch.save(content, written[-1])
    return written
