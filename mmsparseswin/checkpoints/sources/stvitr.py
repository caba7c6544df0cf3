"""STViT-R's classifier and detection backbone: recognised, so that the error can say what is missing here."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from mmsparseswin.checkpoints.sources.rules import Source, Translation, prefix_before
from mmsparseswin.errors import InputError

_ANCHOR = 'patch_embed.proj.0.c.weight'


def _classifier_prefix(names: Iterable[str]) -> str | None:
    names = list(names)
    prefix = prefix_before(_ANCHOR, names)
    return prefix if prefix is not None and f'{prefix}norm0.weight' not in names else None


def _detector_prefix(names: Iterable[str]) -> str | None:
    names = list(names)
    prefix = prefix_before(_ANCHOR, names)
    return prefix if prefix is not None and f'{prefix}norm0.weight' in names else None


def _translate(tensors: Mapping[str, Tensor], prefix: str) -> Translation:
    raise InputError('these are STViT-R weights, and mmsparseswin has no STViT-R backbone yet')


STVITR_CLS = Source('stvitr_cls', _classifier_prefix, _translate)
STVITR_DET = Source('stvitr_det', _detector_prefix, _translate)
