"""Find the detector that a set of weights belongs to: the published SparseSwinDet at the sizes that tensors tell."""

import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from mmsparseswin.checkpoints.architecture import compare
from mmsparseswin.errors import InputError
from mmsparseswin.locations import folder
from mmsparseswin.registry import MODELS

_BASE = '_base_/models/sparseswindet.py'
_ANCHORS = 9  # per cell: 3 ratios of 3 scales, which leave no trace in a file
_MOST_LAYERS = 8  # of BiFPN, as many as any EfficientDet has


def read_detector(backbone: dict[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the config of a SparseSwinDet, and check that ``tensors`` are all it has.

    Args:
        backbone: config of its backbone, read off the weights.
        tensors: all weights under the names of the detector: 'backbone.', 'neck.', 'bbox_head.'.

    Raises:
        InputError: mmdet is missing, or a tensor is missing, unknown or of a wrong shape; it is named.
    """
    if not find_spec('mmdet'):
        raise InputError('these are weights of a detector, and mmdet is not installed: pip install mmdet')
    model = Config.fromfile(folder('configs') / _BASE).model.to_dict()
    model |= {'redraw_convs': False, 'unused_stage': False}
    model['data_preprocessor']['pad_size_divisor'] = backbone['img_size']
    model['backbone'] = {**backbone, 'out_indices': (1, 2, 3)}
    laterals = [_shape(tensors, f'neck.laterals.{i}.weight') for i in range(3)]
    width = laterals[0][0]
    repeats = {int(m[1]) for name in tensors if (m := re.match(r'neck\.layers\.(\d{1,9})\.', name))}
    if repeats != set(range(len(repeats))) or len(repeats) > _MOST_LAYERS:
        raise InputError(f'BiFPN has the layers {sorted(repeats)}; those from 0 on are needed, {_MOST_LAYERS} at most')
    model['neck'] |= {'in_channels': [s[1] for s in laterals], 'out_channels': width, 'repeats': len(repeats)}
    classes, rest = divmod(_shape(tensors, 'bbox_head.retina_cls.weight')[0], _ANCHORS)
    if rest:
        raise InputError(
            f'bbox_head.retina_cls.weight (our name) is for no whole number of classes at {_ANCHORS} anchors'
        )
    stacked = sum(bool(re.fullmatch(r'bbox_head\.cls_convs\.\d+\.conv\.weight', name)) for name in tensors)
    model['bbox_head'] |= {'num_classes': classes, 'in_channels': width, 'feat_channels': width}
    model['bbox_head']['stacked_convs'] = stacked
    try:
        with torch.device('meta'):
            built = MODELS.build(model)
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as e:
        raise InputError(f'no SparseSwinDet has the sizes that these weights tell: {str(e).splitlines()[0]}') from e
    compare(tensors, {name: tuple(t.shape) for name, t in built.state_dict().items()})
    return model


def _shape(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    """Return the shape of a convolution's kernel, which must be there."""
    if name not in tensors or tensors[name].dim() != 4:
        raise InputError(f'{name} (our name) is missing or no kernel: the weights are incomplete')
    return tuple(tensors[name].shape)
