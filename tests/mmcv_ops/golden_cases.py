"""Calls of mmcv's operators whose compiled results are kept in golden/: odd shapes, empty inputs, boxes outside.

Each case calls mmcv's public function on inputs made from a seed and returns arrays by name; `mmcv_golden.npz` holds
the same from a compiled mmcv on a CPU (tools/dev/make_mmcv_golden.py). Only operators with a compiled CPU kernel are
here; test_definitions.py checks the others, which mmcv compiles for GPUs only.
"""

import zlib
from collections.abc import Callable, Iterator
from functools import partial

import mmcv.ops
import numpy as np
import torch
from torch import Tensor

Arrays = dict[str, np.ndarray]

# Boxes on whole pixels hit thresholds exactly. Scores differ: mmcv sorts equal ones in an order that depends on the
# processor. (Soft-NMS does not sort, so it has equal ones.)
NMS_CASES = {
    f'nms-{kind}-offset{offset}-{threshold}': dict(kind=kind, iou_threshold=threshold, offset=offset)
    for kind in ('pixels', 'fractions', 'outside')
    for offset in (0, 1)
    for threshold in (0.3, 0.5, 0.6, 0.7)
}
SOFT_CASES = {
    f'softnms-{method}-offset{offset}-{kind}': dict(kind=kind, method=method, offset=offset)
    for method in ('naive', 'linear', 'gaussian')
    for offset in (0, 1)
    for kind in ('pixels', 'outside')
}
ALIGN_CASES = {
    f'roi_align-{mode}-aligned{int(aligned)}-sampling{sampling}': dict(
        pool_mode=mode, aligned=aligned, sampling_ratio=sampling
    )
    for mode in ('avg', 'max')
    for aligned in (True, False)
    for sampling in (0, 2)
}
# channels, out, kernel, stride, padding, dilation, groups, offset groups, height, width
CONVOLUTIONS = {
    'plain': (6, 5, (3, 3), 1, 1, 1, 1, 1, 7, 9),
    'groups': (8, 4, (3, 3), 1, 1, 1, 2, 4, 5, 6),
    'stride-dilation': (4, 6, (3, 2), (2, 1), (2, 1), (2, 1), 1, 2, 11, 7),
    'pointwise': (3, 4, (1, 1), 1, 0, 1, 1, 1, 4, 5),
}


def cases() -> Iterator[tuple[str, Callable[[], Arrays]]]:
    """Yield the name of each case and a function that runs it."""
    for name, arguments in NMS_CASES.items():
        yield name, partial(_nms, name, **arguments)
    yield 'nms-empty', _nms_of_nothing
    yield 'nms-score-and-number', _nms_of_few
    for agnostic in (False, True):
        for split in (10, 10000):
            name = f'batched_nms-agnostic{int(agnostic)}-split{split}'
            yield name, partial(_batched_nms, name, agnostic, split)
    for name, arguments in SOFT_CASES.items():
        yield name, partial(_soft_nms, name, **arguments)
    for kind in ('pixels', 'fractions'):
        yield f'nms_match-{kind}', partial(_nms_match, f'nms_match-{kind}', kind)
    for aligned in (False, True):
        for mode in (0, 1):
            name = f'bbox_overlaps-aligned{int(aligned)}-mode{mode}'
            yield name, partial(_bbox_overlaps, name, aligned, mode)
    for name, arguments in ALIGN_CASES.items():
        yield name, partial(_roi_align, name, **arguments)
    yield 'roi_align-empty', _roi_align_of_nothing
    for kind, numbers in CONVOLUTIONS.items():
        yield f'deform_conv-{kind}', partial(_deform_conv, kind, numbers)
        yield f'modulated_deform_conv-{kind}', partial(_modulated_deform_conv, kind, numbers)


def random_of(name: str) -> np.random.RandomState:
    """Return a generator whose numbers depend on the name only (RandomState is frozen by numpy)."""
    return np.random.RandomState(zlib.crc32(name.encode()))


def boxes_and_scores(
    random: np.random.RandomState, kind: str, n: int = 60, ties: bool = False
) -> tuple[Tensor, Tensor]:
    """Return boxes (n, 4) of a crowded image and scores (n,), with many equal ones if `ties`."""
    corner = random.uniform(-5 if kind == 'outside' else 0, 30, (n, 2))
    size = random.uniform(0, 15, (n, 2))
    if kind == 'outside':
        size[:3] = 0  # without area
    boxes = np.concatenate((corner, corner + size), 1)
    if kind == 'pixels':
        boxes = boxes.round()
    scores = random.randint(1, 12, n) / 12 if ties else random.permutation(n) / n
    return _tensor(boxes), _tensor(scores)


def leaves(random: np.random.RandomState, *shapes: tuple[int, ...]) -> list[Tensor]:
    """Return normal numbers in each shape, as leaves that want gradients."""
    return [_tensor(random.standard_normal(shape)).requires_grad_() for shape in shapes]


def with_gradients(
    random: np.random.RandomState, call: Callable[..., Tensor], names: str, *inputs: Tensor | None
) -> Arrays:
    """Return `call(*inputs)` as 'output' and the gradient of its weighted sum by each named input."""
    output = call(*inputs)
    output.backward(_tensor(random.standard_normal(tuple(output.shape))).to(output))
    result = {'output': output.detach()}
    for name, x in zip(names.split(), inputs, strict=False):
        if x is not None:
            assert x.grad is not None
            result[f'grad_{name}'] = x.grad
    return {name: x.double().numpy().astype(np.float32) for name, x in result.items()}


def align_inputs(random: np.random.RandomState) -> tuple[Tensor, Tensor]:
    """Return features (2, 3, 9, 13) and boxes: inside, across the border, outside, tiny, without area."""
    (features,) = leaves(random, (2, 3, 9, 13))
    rois = [
        [0, 3.2, 4.1, 20.7, 17.9],
        [1, -9.5, -3.25, 11.5, 8.75],
        [1, 20.0, 10.0, 40.5, 30.5],
        [0, 60.0, 50.0, 80.0, 70.0],
        [0, 5.5, 5.5, 5.75, 5.625],
        [1, 7.0, 7.0, 7.0, 7.0],
        [0, 0.0, 0.0, 26.0, 18.0],
    ]
    return features, _tensor(np.array(rois))


def convolution_inputs(
    random: np.random.RandomState, numbers: tuple, modulated: bool
) -> tuple[list[Tensor], dict[str, object]]:
    """Return the tensors of a deformable convolution (offsets of up to a few pixels) and its other arguments."""
    channels, out, kernel, stride, padding, dilation, groups, offset_groups, height, width = numbers
    pairs = (x if isinstance(x, tuple) else (x, x) for x in (stride, padding, dilation))
    sizes = [
        (side + 2 * p - d * (k - 1) - 1) // s + 1
        for side, k, s, p, d in zip((height, width), kernel, *pairs, strict=True)
    ]
    taps = offset_groups * kernel[0] * kernel[1]
    tensors = leaves(random, (2, channels, height, width), (2, 2 * taps, *sizes), (out, channels // groups, *kernel))
    tensors[1].data *= 1.5
    if modulated:
        mask, bias = leaves(random, (2, taps, *sizes), (out,))
        mask.data.sigmoid_()
        tensors[2:2] = [mask]
        tensors.append(bias)
    arguments = dict(stride=stride, padding=padding, dilation=dilation, groups=groups, deform_groups=offset_groups)
    return tensors, arguments


def _tensor(x: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(x, dtype=np.float32))


def _kept(dets: Tensor, indices: Tensor) -> Arrays:
    return {'dets': dets.numpy(), 'indices': indices.numpy()}


def _nms(name: str, kind: str, iou_threshold: float, offset: int) -> Arrays:
    return _kept(*mmcv.ops.nms(*boxes_and_scores(random_of(name), kind), iou_threshold, offset))


def _nms_of_nothing() -> Arrays:
    return _kept(*mmcv.ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5))


def _nms_of_few() -> Arrays:
    boxes = boxes_and_scores(random_of('few'), 'fractions')
    return _kept(*mmcv.ops.nms(*boxes, 0.5, score_threshold=0.4, max_num=7))


def _batched_nms(name: str, agnostic: bool, split: int) -> Arrays:
    random = random_of(name)
    boxes, scores = boxes_and_scores(random, 'fractions')
    classes = torch.from_numpy(random.randint(0, 3, len(boxes)))
    config = dict(type='nms', iou_threshold=0.5, split_thr=split)
    return _kept(*mmcv.ops.batched_nms(boxes, scores, classes, config, class_agnostic=agnostic))


def _soft_nms(name: str, kind: str, method: str, offset: int) -> Arrays:
    boxes, scores = boxes_and_scores(random_of(name), kind, ties=kind == 'pixels')
    return _kept(*mmcv.ops.soft_nms(boxes, scores, 0.3, sigma=0.5, min_score=0.05, method=method, offset=offset))


def _nms_match(name: str, kind: str) -> Arrays:
    boxes, scores = boxes_and_scores(random_of(name), kind)
    groups = mmcv.ops.nms_match(torch.cat((boxes, scores[:, None]), 1), 0.4)
    return {'sizes': np.array([len(group) for group in groups]), 'indices': torch.cat(groups).numpy()}


def _bbox_overlaps(name: str, aligned: bool, mode: int) -> Arrays:
    from mmcv.ops.bbox import ext_module  # mmcv's function calls it on GPUs only

    random = random_of(name)
    one, _ = boxes_and_scores(random, 'pixels', 12)
    two, _ = boxes_and_scores(random, 'outside', 12 if aligned else 7)
    ious = one.new_zeros(12) if aligned else one.new_zeros(12, 7)
    ext_module.bbox_overlaps(one, two, ious, mode=mode, aligned=aligned, offset=1)
    return {'ious': ious.numpy()}


def _roi_align(name: str, **arguments: object) -> Arrays:
    random = random_of(name)
    features, rois = align_inputs(random)
    layer = mmcv.ops.RoIAlign((3, 2), 0.5, **arguments)
    return with_gradients(random, partial(layer, rois=rois), 'features', features)


def _roi_align_of_nothing() -> Arrays:
    random = random_of('nothing')
    features, _ = align_inputs(random)
    layer = mmcv.ops.RoIAlign((3, 2), 0.5)
    return with_gradients(random, partial(layer, rois=torch.zeros(0, 5)), 'features', features)


def _deform_conv(kind: str, numbers: tuple) -> Arrays:
    random = random_of(kind)
    tensors, keywords = convolution_inputs(random, numbers, modulated=False)
    arguments = list(keywords.values())  # autograd functions take no keywords
    return with_gradients(
        random, lambda *inputs: mmcv.ops.deform_conv2d(*inputs, *arguments), 'input offset weight', *tensors
    )


def _modulated_deform_conv(kind: str, numbers: tuple) -> Arrays:
    random = random_of(kind)
    tensors, keywords = convolution_inputs(random, numbers, modulated=True)
    arguments = list(keywords.values())
    inputs: list[Tensor | None] = list(tensors)
    if kind == 'groups':
        inputs[4] = None  # without bias
    return with_gradients(
        random,
        lambda *x: mmcv.ops.modulated_deform_conv2d(*x, *arguments),
        'input offset mask weight bias',
        *inputs,
    )
