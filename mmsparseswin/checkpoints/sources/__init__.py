"""One file per family of checkpoints: how to know it by its names, and how to rename it to ours."""

from collections.abc import Mapping

from torch import Tensor

from mmsparseswin.checkpoints.sources.microsoft import MICROSOFT
from mmsparseswin.checkpoints.sources.mmsparseswin import OWN
from mmsparseswin.checkpoints.sources.openmmlab import MMDET, MMPRETRAIN
from mmsparseswin.checkpoints.sources.rules import Source, Translation
from mmsparseswin.checkpoints.sources.sparseswin import SPARSESWIN, SPARSESWIN_DENSE
from mmsparseswin.checkpoints.sources.sparseswindet import SPARSESWINDET
from mmsparseswin.checkpoints.sources.stvit_r import STVITR_CLS, STVITR_DET
from mmsparseswin.checkpoints.sources.timm import TIMM
from mmsparseswin.checkpoints.sources.torchvision import TORCHVISION
from mmsparseswin.checkpoints.sources.transformers import TRANSFORMERS
from mmsparseswin.errors import InputError

__all__ = ['SOURCES', 'Source', 'Translation', 'translate']

SOURCES = {
    source.name: source
    for source in (
        # First: the detector has the dense encoder inside, and that a whole torchvision Swin.
        SPARSESWINDET,
        SPARSESWIN,
        SPARSESWIN_DENSE,
        MICROSOFT,
        TIMM,
        TORCHVISION,
        TRANSFORMERS,
        MMDET,
        MMPRETRAIN,
        STVITR_CLS,
        STVITR_DET,
        OWN,
    )
}
# Layouts that two owners share: a file of one is also taken under the other's name.
_SAME_LAYOUT = {'timm': MICROSOFT, 'mmdet': MMPRETRAIN, 'mmpretrain': MMDET}


def translate(tensors: Mapping[str, Tensor], source: str = 'auto') -> tuple[str, Translation]:
    """Find out whose names these are and rename them to ours.

    Args:
        tensors: weights under the names of their file.
        source: one of :data:`SOURCES`, or 'auto'. 'timm' also takes the old layout, which is Microsoft's to the letter.

    Returns:
        The source's name and the weights under our names.

    Raises:
        InputError: nobody's names, or not those of ``source``.
    """
    if source not in ('auto', *SOURCES):
        raise InputError(f'source {source!r} is unknown; choose auto or one of {list(SOURCES)}')
    for candidate in SOURCES.values() if source == 'auto' else [SOURCES[source]]:
        prefix = candidate.prefix(tensors)
        if prefix is None and source in _SAME_LAYOUT:
            prefix = _SAME_LAYOUT[source].prefix(tensors)
        if prefix is not None:
            return candidate.name, candidate.translate(tensors, prefix)
    shown = ', '.join(list(tensors)[:5])
    if source != 'auto':
        raise InputError(f'these are not weights of {source}: no tensor has its names; the file starts with {shown}')
    raise InputError(f'no known Swin, SparseSwin or STViT-R has these names: {shown} ...; known: {list(SOURCES)}')
