"""Files of this project: a bare backbone, a classifier or a detector.

No name is listed here: whoever takes the tensors compares them with a model.
"""

from collections.abc import Iterable, Mapping

from torch import Tensor

from mmsparseswin.checkpoints.sources.rules import Source, Translation, prefix_before, pretraining_part
from mmsparseswin.errors import InputError

_HEAD = ('head.fc.weight', 'head.fc.bias')


def _prefix(names: Iterable[str]) -> str | None:
    names = list(names)
    if prefix_before('stages.0.blocks.0.attn.qkv.weight', names) is None:
        return None
    prefix = prefix_before('patch_embed.proj.weight', names)
    return prefix_before('patch_embed.conv1.weight', names) if prefix is None else prefix


def _translate(tensors: Mapping[str, Tensor], prefix: str) -> Translation:
    result = Translation()
    for name, tensor in tensors.items():
        ours = name.removeprefix(prefix)
        if not name.startswith(prefix) and name not in _HEAD:
            result.dropped[name] = f'not in the backbone, whose names start with {prefix!r}'
        elif reason := pretraining_part(ours):
            result.dropped[name] = str(reason)
        elif ours in result.tensors:
            raise InputError(f'{ours} and {prefix}{ours} both stand for {ours}')
        else:
            result.tensors[ours] = tensor
    return result


OWN = Source('mmsparseswin', _prefix, _translate)
