"""timm, S3 included: Microsoft's names; from 0.9 on with ``head.fc`` and the merging at a stage's start, as here."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from mmsparseswin.checkpoints.sources.microsoft import is_layered, is_timm, layer_rules, merging_at_end
from mmsparseswin.checkpoints.sources.rules import Source, Translation, apply_rules


def _prefix(names: Iterable[str]) -> str | None:
    names = list(names)
    prefix = is_layered(names)
    return prefix if prefix is not None and is_timm(names, prefix) else None


def _translate(tensors: Mapping[str, Tensor], prefix: str) -> Translation:
    return apply_rules(tensors, prefix, layer_rules(merging_at_end(tensors, prefix)))


TIMM = Source('timm', _prefix, _translate)
