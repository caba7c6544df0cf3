"""Check a model's config that came from elsewhere before anything is built from it.

mmengine's registries import and call what a ``type`` names ('os.system' too), mmcv evaluates the ``type`` of an NMS,
and some classes of mmdet and mmpretrain load files or download programs that an option names. Here a type must be in a
list of parts that compute on tensors alone, and a word must not look like a path or a URL.
"""

import re
from collections.abc import Mapping
from typing import Any

from mmsparseswin.errors import InputError

_LIBRARIES = ('mmsparseswin', 'mmdet', 'mmpretrain', 'mmengine')
_START = ('init_cfg', 'pretrained')  # they name files, and the weights are in the folder
_MOST_DEEP = 40

_OURS = (
    *('SparseSwin', 'STViTR', 'Swin', 'MergedSwin', 'SixMapBackbone', 'BiFPN', 'DenseFPN', 'PAN', 'LN2d'),
    *('CascadeRoIHead', 'StandardRoIHead', 'Float32RPNHead', 'Float32RoIExtractor', 'ValidAreaDetDataPreprocessor'),
    *('RelativeSSDHead', 'RelativeSSDAnchorGenerator', 'SparseSwinDet', 'SparseSwinDetHead'),
)
_DETECTORS = (
    *('SingleStageDetector', 'TwoStageDetector', 'RetinaNet', 'FCOS', 'ATSS', 'GFL', 'FasterRCNN', 'MaskRCNN'),
    *('CascadeRCNN', 'RPN', 'DetDataPreprocessor', 'ResNet', 'SwinTransformer', 'FPN', 'PAFPN', 'ChannelMapper'),
    *('RPNHead', 'RetinaHead', 'FCOSHead', 'ATSSHead', 'GFLHead', 'SSDHead', 'RoIAlign', 'SingleRoIExtractor'),
    *('Shared2FCBBoxHead', 'Shared4Conv1FCBBoxHead', 'ConvFCBBoxHead', 'FCNMaskHead'),
)
_DETECTOR_PARTS = (
    *('AnchorGenerator', 'SSDAnchorGenerator', 'DeltaXYWHBBoxCoder', 'TBLRBBoxCoder', 'DistancePointBBoxCoder'),
    *('MaxIoUAssigner', 'ATSSAssigner', 'BboxOverlaps2D', 'RandomSampler', 'PseudoSampler', 'nms', 'soft_nms'),
    *('CrossEntropyLoss', 'FocalLoss', 'QualityFocalLoss', 'DistributionFocalLoss', 'L1Loss', 'SmoothL1Loss'),
    *('IoULoss', 'GIoULoss', 'DIoULoss', 'CIoULoss', 'BalancedL1Loss', 'MlvlPointGenerator'),
)
_CLASSIFIERS = (
    *('ImageClassifier', 'ClsDataPreprocessor', 'GlobalAveragePooling', 'LinearClsHead', 'StackedLinearClsHead'),
    *('LabelSmoothLoss', 'Mixup', 'CutMix', 'ResizeMix'),
)
_LAYERS = ('BN', 'BN2d', 'SyncBN', 'GN', 'LN', 'ReLU', 'GELU', 'Swish', 'Conv2d')
MODEL_PARTS = frozenset((*_OURS, *_DETECTORS, *_DETECTOR_PARTS, *_CLASSIFIERS, *_LAYERS))
STEPS = frozenset(  # of a pipeline that prepares one picture for the model
    (
        *('LoadImageFromFile', 'LoadAnnotations', 'Resize', 'ResizeEdge', 'CenterCrop', 'FixShapeResize', 'Pad'),
        *('NumpyToPIL', 'PILToNumpy', 'torchvision/PILToTensor', 'PackInputs', 'PackDetInputs'),
    )
)


def check_parts(node: Any, where: str, known: frozenset[str] = MODEL_PARTS) -> Any:
    """Return a copy of a config without names of files to start from, if it can be built without running foreign code.

    Args:
        node: a config, or a part of one.
        where: its name, for messages.
        known: types that may stand in it, without the name of their library.

    Raises:
        InputError: a type that is not listed, a word that may name a file, or what is no data; it is named.
    """
    return _check(node, where, known, 0)


def _check(node: Any, where: str, known: frozenset[str], depth: int) -> Any:
    if depth > _MOST_DEEP:
        raise InputError(f'{where} is nested more than {_MOST_DEEP} deep, which no model is')
    if isinstance(node, Mapping):
        result = {}
        for key, value in node.items():
            if not isinstance(key, str):
                raise InputError(f'{where} has the key {key!r}, which is no word')
            if key == 'type':
                result[key] = _check_type(value, f'{where}.type', known)
            elif key == '_scope_' and value not in _LIBRARIES:
                raise InputError(f'{where}._scope_ is {value!r:.80}: it must be one of {", ".join(_LIBRARIES)}')
            elif key not in _START:
                result[key] = _check(value, f'{where}.{key}', known, depth + 1)
        return result
    if isinstance(node, (list, tuple)):
        return type(node)(_check(value, f'{where}.{i}', known, depth + 1) for i, value in enumerate(node))
    if isinstance(node, str) and not re.fullmatch(r'[\w .,+-]*', node, re.ASCII):
        raise InputError(f'{where} is {node!r:.80}: a word of a model may not look like a path, a URL or a program')
    if node is not None and not isinstance(node, (str, int, float)):
        raise InputError(f'{where} is a {type(node).__name__}, which is no data')
    return node


def _check_type(value: Any, where: str, known: frozenset[str]) -> str:
    name = value
    if isinstance(value, str) and value.split('.', 1)[0] in _LIBRARIES:
        name = value.partition('.')[2]
    if not isinstance(name, str) or name not in known:
        raise InputError(
            f'{where} is {value!r:.80}, which is not among the parts that are built from a folder or a hub; write a '
            'config of your own with it, and load the weights by load_from or predict.py CONFIG WEIGHTS'
        )
    return value
