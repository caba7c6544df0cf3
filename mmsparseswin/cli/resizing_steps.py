"""What a classifier's test pipeline does to a picture between reading and packing it, as plain data."""

from typing import Any

from mmengine.config import Config
from mmengine.registry import TRANSFORMS, init_default_scope


def resizing_steps(cfg: Config) -> list[dict[str, Any]] | None:
    """Return the steps of the config's test pipeline, with all their values.

    :mod:`mmsparseswin.runtime` repeats Resize without keep_ratio, ResizeEdge, and CenterCrop without padding. Another
    step has its name alone, so that it is refused there and never passed over.

    Returns:
        None of a detector, whose images have many sizes, or without a test pipeline.
    """
    pipeline = ((cfg.get('test_dataloader') or {}).get('dataset') or {}).get('pipeline')
    if cfg.get('default_scope') != 'mmpretrain' or pipeline is None:
        return None
    init_default_scope('mmpretrain')
    steps = [dict(step) for step in pipeline if not str(step.get('type')).endswith(('LoadImageFromFile', 'PackInputs'))]
    found = [_describe(step) for step in steps]
    before = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    if before.get('pad_size_divisor', 1) > 1:
        found.append({'type': 'pad_size_divisor'})
    return found


def _describe(step: dict[str, Any]) -> dict[str, Any]:
    from mmcv.transforms import CenterCrop, Resize
    from mmpretrain.datasets.transforms import ResizeEdge

    name_alone = {'type': str(step['type']).rsplit('.', 1)[-1]}
    try:
        built: Any = TRANSFORMS.build(step)
    except Exception:  # of any transform: a model is exported though its pictures cannot be prepared here
        return name_alone
    if type(built) is ResizeEdge:
        found: dict[str, Any] = dict(scale=int(built.scale), edge=built.edge)
    elif type(built) is Resize and built.scale is not None and not built.keep_ratio:
        found = dict(scale=[int(one) for one in built.scale])
    elif type(built) is CenterCrop and not built.auto_pad:
        return dict(type='CenterCrop', crop_size=[int(one) for one in built.crop_size])
    else:
        return name_alone
    return dict(type=type(built).__name__, **found, backend=built.backend, interpolation=built.interpolation)
