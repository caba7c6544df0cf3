"""Other people's Swin, SparseSwin and STViT-R weights -> a config of ours and a state dict that fits it exactly."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mmsparseswin.checkpoints.architecture import first_of, read_architecture
from mmsparseswin.checkpoints.detector import read_detector
from mmsparseswin.checkpoints.reading import read_checkpoint
from mmsparseswin.checkpoints.sources import SOURCES, translate
from mmsparseswin.checkpoints.sources.mmsparseswin import OWN
from mmsparseswin.checkpoints.sources.rules import by_reason
from mmsparseswin.errors import InputError


@dataclass
class Converted:
    """Weights under our names and the model they fit.

    Attributes:
        source: whose names the file had, see :data:`SOURCES`.
        model: config for mmpretrain's or mmdet's registry: an ImageClassifier if there is a head, a detector if the
            file is one of a known kind, else the backbone.
        state_dict: loads into that model with ``strict=True``; tensors may be backed by the file.
        dropped: name in the file -> why it is left out.
        notes: what was unwrapped, and what is assumed because a file does not tell.
    """

    source: str
    model: dict[str, Any]
    state_dict: dict[str, Tensor]
    dropped: dict[str, str]
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        backbone = self.model.get('backbone', self.model)
        classes = f', {self.model["head"]["num_classes"]} classes' if 'head' in self.model else ''
        kind = backbone['type'].rsplit('.', 1)[-1]
        lines = [
            f'source    {self.source}',
            f'arch      {kind} {backbone["arch"]}, img_size {backbone["img_size"]}, '
            f'window_size {backbone["window_size"]}{classes}',
            f'tensors   {len(self.state_dict)} converted, {len(self.dropped)} dropped',
            *(f'dropped   {line}' for line in by_reason(self.dropped)),
            *(f'note      {note}' for note in self.notes),
        ]
        return '\n'.join(lines)


def convert(checkpoint: str | os.PathLike | Mapping[str, Any], source: str = 'auto', ema: bool = False) -> Converted:
    """Convert weights, and check that they are one whole model.

    Args:
        checkpoint: path, http(s) URL, or a loaded dict.
        source: whose weights they are, one of :data:`SOURCES`; 'auto' finds out by their names.
        ema: take the averaged weights of a file that has them.

    Raises:
        InputError: unreadable, of no known source, or a tensor is unknown, missing or of a wrong shape; it is named.
    """
    content = read_checkpoint(checkpoint, ema)
    name, translation = translate(content.tensors, source)
    if translation.unknown:
        raise InputError(f'{first_of(translation.unknown)} belongs to no Swin, SparseSwin or STViT-R that {name} makes')
    head = {key: t for key, t in translation.tensors.items() if key.startswith('head.')}
    backbone = {key: t for key, t in translation.tensors.items() if key not in head}
    architecture = read_architecture(backbone)
    for key in architecture.unused:
        del backbone[key]
        translation.dropped[f'{key} (our name)'] = 'stage after the last output, which is not built'
    cfg = architecture.backbone | SOURCES[name].assumed
    notes = content.notes + architecture.notes
    if name == OWN.name:
        notes += [f'{options}: the defaults' for options in architecture.untraced]
    if translation.detector:
        state_dict = {f'backbone.{key}': t for key, t in backbone.items()} | translation.detector
        model = read_detector(cfg, state_dict)
        return Converted(name, model, state_dict, translation.dropped, notes)
    if not head:
        return Converted(name, cfg, backbone, translation.dropped, notes)
    model = _classifier(cfg, head, architecture.width)
    state_dict = {f'backbone.{key}': t for key, t in backbone.items()} | head
    return Converted(name, model, state_dict, translation.dropped, notes)


def _classifier(backbone: dict[str, Any], head: Mapping[str, Tensor], width: int) -> dict[str, Any]:
    shapes = {name: tuple(t.shape) for name, t in head.items()}
    classes = shapes.get('head.fc.bias', (0,))[0]
    if shapes != {'head.fc.weight': (classes, width), 'head.fc.bias': (classes,)}:
        raise InputError(f'the head {shapes} is no linear layer with bias on {width} channels')
    model = {
        'type': 'mmpretrain.ImageClassifier',
        'backbone': {**backbone, 'out_type': 'avg_featmap'},
        'head': {'type': 'mmpretrain.LinearClsHead', 'num_classes': classes, 'in_channels': width},
    }
    if 'token_to_map' in backbone:  # a SparseSwin that pools its map instead of its tokens
        model |= {'backbone': backbone, 'neck': {'type': 'mmpretrain.GlobalAveragePooling'}}
    return model
