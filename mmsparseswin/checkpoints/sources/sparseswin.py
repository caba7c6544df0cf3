"""Read the SparseSwin authors' classifier and dense encoder (docs/models/sparse_swin.md, 'Weights')."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from mmsparseswin.checkpoints.sources.rules import Dropped, Rules, Source, Translation, apply_rules, prefix_before
from mmsparseswin.checkpoints.sources.torchvision import feature_rules

_ANCHOR = 'step4.convert_token.lin_t.weight'
_TOKENS: Rules = (
    (r'step4\.convert_token\.(convert|lin_t)\.(weight|bias)', r'stages.3.\1.\2'),
    (r'step4\.mha\.(\d+)\.qkv\.(weight|bias)', r'stages.3.blocks.\1.attn.qkv.\2'),
    (r'step4\.mha\.(\d+)\.lin\.(weight|bias)', r'stages.3.blocks.\1.attn.proj.\2'),
    (r'step4\.mlp\.(\d+)\.(fc[12])\.(weight|bias)', r'stages.3.blocks.\1.mlp.\2.\3'),
    (r'step4\.(norm[12])\.(\d+)\.(weight|bias)', r'stages.3.blocks.\2.\1.\3'),
    (r'norm\.(weight|bias)', r'stages.3.norm.\1'),
)
_CLASSIFIER: Rules = (
    *feature_rules(r'swin_model\.'),
    *_TOKENS,
    (r'fc_out\.(weight|bias)', r'head.fc.\1'),
)
_UNUSED = Dropped('never used by the encoder: the rest of the Swin it was cut from')
_DENSE: Rules = (
    (r'swin_model\.features\.[67]\..+', _UNUSED),
    (r'swin_model\.(norm|head)\..+', _UNUSED),
    *feature_rules(r'block[123]\.'),
    *feature_rules(r'swin_model\.features\.'),
    *_TOKENS,
    (r'token2spatial\.mlp\.(fc[12])\.(weight|bias)', r'stages.3.token_to_map.\1.\2'),
)


def _is_dense(names: Iterable[str], prefix: str) -> bool:
    return any(name.startswith(f'{prefix}token2spatial.') for name in names)


def _classifier_prefix(names: Iterable[str]) -> str | None:
    names = list(names)
    prefix = prefix_before(_ANCHOR, names)
    return None if prefix is None or _is_dense(names, prefix) else prefix


def _dense_prefix(names: Iterable[str]) -> str | None:
    names = list(names)
    prefix = prefix_before(_ANCHOR, names)
    return prefix if prefix is not None and _is_dense(names, prefix) else None


def _translate_classifier(tensors: Mapping[str, Tensor], prefix: str) -> Translation:
    return apply_rules(tensors, prefix, _CLASSIFIER)


def _translate_dense(tensors: Mapping[str, Tensor], prefix: str) -> Translation:
    """Stages 1-3 are listed twice: ``block2.3`` is ``swin_model.features.3``, one storage.

    Should the two differ, the later name counts, as it does when SparseSwin itself loads such a file.
    """
    twins = {}
    for name in tensors:
        if match := re.fullmatch(re.escape(prefix) + r'block[123]\.(\d+\..+)', name):
            twins[f'{prefix}swin_model.features.{match[1]}'] = name
    once = {name: tensor for name, tensor in tensors.items() if name not in twins}
    result = apply_rules(once, prefix, _DENSE)
    for twin, name in twins.items():
        if twin in tensors:
            same = torch.equal(tensors[twin], tensors[name])
            result.dropped[twin] = f'second name of {name}' + ('' if same else ', with other values')
    return result


SPARSESWIN = Source('sparseswin', _classifier_prefix, _translate_classifier)
SPARSESWIN_DENSE = Source('sparseswin_dense', _dense_prefix, _translate_dense, {'pos_encoding': 'sincos1d'})
