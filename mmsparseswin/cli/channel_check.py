"""Compare the channels that the parts of a model hand on to each other."""

from collections.abc import Iterator
from typing import Any

import torch

from mmsparseswin.cli.build_errors import naming
from mmsparseswin.cli.config_tree import walk
from mmsparseswin.errors import InputError


def check_channels(model: Any, scope: str | None) -> None:
    """Check that neck and heads take the channels that the part before them puts out.

    The channels of a backbone are known if it has ``out_channels``, as ours have; it is built without memory.

    Raises:
        InputError: which option does not fit, and what would.
    """
    if not isinstance(model, dict):
        return
    given = _backbone_channels(model.get('backbone'), scope)
    neck = model.get('neck')
    if given is not None:
        kind = str(model['backbone']['type']).rpartition('.')[2]
        for key, part, expected in _after_backbone(model, given):
            wanted = part.get('in_channels')
            fits = wanted == expected if isinstance(expected, int) else list(wanted or ()) == expected
            if wanted is not None and not fits:
                raise InputError(
                    f'{key}.in_channels is {wanted}, but {kind} with these options puts out {given}: '
                    f'set in_channels to {expected}, or change arch or out_indices of model.backbone'
                )
    if isinstance(neck, dict) and isinstance(width := neck.get('out_channels'), int):
        for key, option, value, source, expected in _after_neck(model, width):
            if value != expected:
                raise InputError(f'{key}.{option} is {value}, but {source} is {expected}: they must be equal')


def _backbone_channels(backbone: Any, scope: str | None) -> list[int] | None:
    from mmsparseswin.backbones.base import is_backbone
    from mmsparseswin.registry import MODELS

    if not isinstance(backbone, dict) or not (is_backbone(backbone) or 'SixMapBackbone' in str(backbone.get('type'))):
        return None
    with torch.device('meta'), naming('model.backbone', backbone, scope):
        return list(MODELS.build(backbone).out_channels)


def _after_backbone(model: dict[str, Any], given: list[int]) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Yield the key, the dict and the right ``in_channels`` of what the backbone's maps or vector go into."""
    neck, head, detector = model.get('neck'), model.get('head'), model.get('bbox_head')
    if isinstance(neck, dict) and isinstance(neck.get('in_channels'), (list, tuple)):
        yield 'model.neck', neck, given
    elif neck is None or (isinstance(neck, dict) and neck.get('type') == 'GlobalAveragePooling'):
        if isinstance(head, dict) and isinstance(head.get('in_channels'), int):
            yield 'model.head', head, given[-1]
        if isinstance(detector, dict) and isinstance(detector.get('in_channels'), (list, tuple)):
            yield 'model.bbox_head', detector, given


def _after_neck(model: dict[str, Any], width: int) -> Iterator[tuple[str, str, int, str, int]]:
    """Yield (key, option, its value, key of the part before, its channels) of what a pyramid goes into."""
    neck, roi = 'model.neck.out_channels', model.get('roi_head')
    for name in ('rpn_head', 'bbox_head'):
        yield from _pair(f'model.{name}', model.get(name), 'in_channels', neck, width)
    if not isinstance(roi, dict):
        return
    for kind in ('bbox', 'mask'):
        name = f'{kind}_roi_extractor'
        yield from _pair(f'model.roi_head.{name}', roi.get(name), 'out_channels', neck, width)
        for key, head in walk(f'model.roi_head.{kind}_head', roi.get(f'{kind}_head')):
            if key.count('.') <= 3:  # the head, or one of a list
                yield from _pair(key, head, 'in_channels', neck, width)


def _pair(key: str, part: Any, option: str, source: str, width: int) -> Iterator[tuple[str, str, int, str, int]]:
    if isinstance(part, dict) and type(part.get(option)) is int:
        yield key, option, part[option], source, width
