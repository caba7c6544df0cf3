"""Hand the weights of a Swin to timm or transformers, under their names: the way back of checkpoints/sources."""

import re
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmsparseswin.backbones.swin import Swin
from mmsparseswin.errors import InputError

Names = list[tuple[str, str | Callable[[re.Match], str]]]

_BLOCK = r'stages\.(\d+)\.blocks\.(\d+)\.'
_TIMM: Names = [
    (r'patch_embed\.(.+)', r'patch_embed.\1'),
    (_BLOCK + r'(.+)', r'layers.\1.blocks.\2.\3'),
    (r'stages\.(\d+)\.downsample\.(.+)', r'layers.\1.downsample.\2'),
    (r'norm\.(.+)', r'norm.\1'),
    (r'head\.fc\.(.+)', r'head.fc.\1'),
]
_ENCODER = r'encoder.layers.\1.blocks.\2.'
_TRANSFORMERS: Names = [
    (r'patch_embed\.proj\.(.+)', r'embeddings.patch_embeddings.projection.\1'),
    (r'patch_embed\.norm\.(.+)', r'embeddings.norm.\1'),
    (_BLOCK + r'norm1\.(.+)', _ENCODER + r'layernorm_before.\3'),
    (_BLOCK + r'norm2\.(.+)', _ENCODER + r'layernorm_after.\3'),
    (_BLOCK + r'attn\.((?:query|key|value)\..+|relative_position.+)', _ENCODER + r'attention.self.\3'),
    (_BLOCK + r'attn\.proj\.(.+)', _ENCODER + r'attention.output.dense.\3'),
    (_BLOCK + r'mlp\.fc1\.(.+)', _ENCODER + r'intermediate.dense.\3'),
    (_BLOCK + r'mlp\.fc2\.(.+)', _ENCODER + r'output.dense.\3'),
    (r'stages\.(\d+)\.downsample\.(.+)', lambda m: f'encoder.layers.{int(m[1]) - 1}.downsample.{m[2]}'),
    (r'norm\.(.+)', r'layernorm.\1'),
    (r'norm(\d+)\.(.+)', lambda m: f'hidden_states_norms.stage{int(m[1]) + 1}.{m[2]}'),
]


def to_timm(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a Swin as the state dict of ``timm.create_model('swin_...')`` of the same sizes.

    Args:
        model: a Swin that returns its last stage alone (``out_indices=(3,)``, or another out_type than 'featmap'), or
            an mmpretrain classifier of one with a linear head; without a head create timm's with ``num_classes=0``.

    Returns:
        timm's name (0.9 or newer) -> tensor, all that timm's model has; tensors share memory with the model.

    Raises:
        InputError: no Swin, or a part that timm's has not.
    """
    state = _state(model, 'timm')
    if more := [name for name in state if re.match(r'norm\d', name)]:
        raise InputError(f'{more[0]}: timm has a norm after the last stage alone; build with out_indices=(3,)')
    return _renamed(state, _TIMM)


def to_transformers(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a Swin as the state dict of a Swin of Hugging Face transformers of the same sizes.

    Args:
        model: a Swin or an mmpretrain classifier of one with a linear head.

    Returns:
        name -> tensor, for ``SwinForImageClassification`` if there is a head, for ``SwinBackbone`` if the outputs of
        several stages have norms, else for ``SwinModel``. It has the index buffers that they save, too. SwinBackbone
        shifts windows in a stage that one window covers, which ours does not: from the next size on maps are equal.

    Raises:
        InputError: no Swin, or a part that the one of transformers has not, such as windows that differ by stage.
    """
    state = _state(model, 'transformers')
    tables = {name: len(t) for name, t in state.items() if name.endswith('.relative_position_bias_table')}
    if len(set(tables.values())) > 1:
        raise InputError(
            f'the windows differ by stage (tables of {sorted(set(tables.values()))} rows), and transformers has one '
            'size for all; of an img_size that clips none they are equal'
        )
    for name, rows in tables.items():
        state[f'{name.removesuffix("bias_table")}index'] = _index((round(rows**0.5) + 1) // 2)
    for name in [name for name in state if '.attn.qkv.' in name]:
        for part, tensor in zip(('query', 'key', 'value'), state.pop(name).chunk(3), strict=True):
            state[name.replace('.qkv.', f'.{part}.')] = tensor
    head = {name.replace('head.fc', 'classifier'): state.pop(name) for name in list(state) if name.startswith('head.')}
    renamed = _renamed(state, _TRANSFORMERS)
    return {f'swin.{name}': t for name, t in renamed.items()} | head if head else renamed


def _state(model: nn.Module, library: str) -> dict[str, Tensor]:
    """Return the weights by our names without ``backbone.``; a lone norm, after the last stage, is called ``norm``."""
    backbone = getattr(model, 'backbone', model)
    if type(backbone) is not Swin:
        raise InputError(f'{library} has Swin alone, and this is a {type(backbone).__name__}')
    state = {name.removeprefix('backbone.'): tensor.detach() for name, tensor in model.state_dict().items()}
    last = len(backbone.depths) - 1
    if f'norm{last}.weight' not in state:
        raise InputError(f'{library} has all stages and a norm after the last: build with its output and output_norm')
    if backbone.absolute_pos_embed is not None:
        raise InputError(f'absolute_pos_embed: the Swin of {library} has none that is the same')
    if backbone.settings['patch_merging'] != 'linear':
        raise InputError(f'patch_merging {backbone.settings["patch_merging"]!r}: {library} has linear merging alone')
    if backbone.out_indices == (last,):
        for kind in ('weight', 'bias'):
            state[f'norm.{kind}'] = state.pop(f'norm{last}.{kind}')
    return state


def _renamed(state: dict[str, Tensor], names: Names) -> dict[str, Tensor]:
    result = {}
    for name, tensor in state.items():
        for pattern, target in names:
            if match := re.fullmatch(pattern, name):
                result[target(match) if callable(target) else match.expand(target)] = tensor
                break
        else:
            raise InputError(f'{name} has no place in the other library: a backbone or a linear head are taken')
    return result


def _index(side: int) -> Tensor:
    """Return the row of the bias table for each pair of cells of a window: (side^2, side^2)."""
    cells = torch.cartesian_prod(torch.arange(side), torch.arange(side))
    apart = cells[:, None] - cells[None] + side - 1
    return apart[..., 0] * (2 * side - 1) + apart[..., 1]
