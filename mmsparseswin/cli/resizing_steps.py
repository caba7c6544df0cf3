"""What a config does to a picture before its model and to detections after it, as plain data."""

import json
from typing import Any

from mmengine.config import Config
from mmengine.registry import TRANSFORMS, init_default_scope

# Steps that read and pack, and leave the picture as it is.
_OTHER = ('LoadImageFromFile', 'LoadAnnotations', 'PackInputs', 'PackDetInputs')


def resizing_steps(cfg: Config) -> list[dict[str, Any]] | None:
    """Return the steps of the config's test pipeline, with all their values.

    :mod:`mmsparseswin.runtime` repeats Resize, which it calls ResizeInside with keep_ratio, ResizeEdge, and CenterCrop
    without padding. Another step has its name alone, so that it is refused there and never passed over.

    Returns:
        None without a test pipeline.
    """
    pipeline = ((cfg.get('test_dataloader') or {}).get('dataset') or {}).get('pipeline')
    if pipeline is None:
        return None
    scope = cfg.get('default_scope')
    init_default_scope(scope)
    found = [_describe(dict(step), scope) for step in pipeline if not str(step.get('type')).endswith(_OTHER)]
    if scope != 'mmpretrain':
        return found  # a detector pads by its own rule
    before = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    if before.get('pad_size_divisor', 1) > 1:
        found.append({'type': 'pad_size_divisor'})
    return found


def _describe(step: dict[str, Any], scope: str) -> dict[str, Any]:
    try:
        built: Any = TRANSFORMS.build(step)
    except Exception:  # of any transform: a model is exported though its pictures cannot be prepared here
        built = None
    found = _of_detector(built) if scope == 'mmdet' else _of_classifier(built)
    return found or {'type': str(step['type']).rsplit('.', 1)[-1]}


def _of_classifier(built: Any) -> dict[str, Any] | None:
    from mmcv.transforms import CenterCrop, Resize
    from mmpretrain.datasets.transforms import ResizeEdge

    if type(built) is ResizeEdge:
        found: dict[str, Any] = dict(scale=int(built.scale), edge=built.edge)
    elif type(built) is Resize and built.scale is not None and not built.keep_ratio:
        found = dict(scale=[int(one) for one in built.scale])
    elif type(built) is CenterCrop and not built.auto_pad:
        return dict(type='CenterCrop', crop_size=[int(one) for one in built.crop_size])
    else:
        return None
    return dict(type=type(built).__name__, **found, backend=built.backend, interpolation=built.interpolation)


def _of_detector(built: Any) -> dict[str, Any] | None:
    from mmdet.datasets.transforms import Resize

    if type(built) is not Resize or built.scale is None:
        return None
    return dict(
        type='ResizeInside' if built.keep_ratio else 'Resize',
        scale=[int(one) for one in built.scale],
        backend=built.backend,
        interpolation=built.interpolation,
    )


def plain_test_cfg(cfg: Config) -> Any:
    """Return the ``test_cfg`` of the config's detector, its thresholds, as JSON gives it back."""
    found = cfg.model.get('test_cfg')
    return json.loads(json.dumps(found.to_dict() if found else {}, default=str))
