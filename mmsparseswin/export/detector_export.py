"""Export a whole detector, and prove that its file finds what mmdet finds."""

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmsparseswin.errors import InputError
from mmsparseswin.export.comparison import time_both
from mmsparseswin.export.detector_comparison import NUDGE, SAME_IOU, SAME_SCORE, Find, compare_detections
from mmsparseswin.export.detectors import mmdet_finds
from mmsparseswin.export.files import VERSION, aside, describe_input, versions
from mmsparseswin.export.formats import Plan, write
from mmsparseswin.export.pictures import Normalize, read_pictures
from mmsparseswin.export.subjects import Subject
from mmsparseswin.layers.processor import processor
from mmsparseswin.runtime.detections import suppress_as
from mmsparseswin.runtime.engines import open_engine

_FORMATS = ('onnx', 'openvino')


def export_detector(
    subject: Subject,
    name: str,
    out: Path,
    shape: tuple[int, int],
    order: str | None = None,
    images: list[str] | None = None,
    nms: str = 'inside',
) -> dict[str, Any]:
    """Export a detector for one image of one size; see :func:`mmsparseswin.export.exporting.export`.

    Raises:
        InputError: a format without NMS, a shape that the model would pad, or a file that finds other objects.
    """
    pixels, padding = subject.pixels, subject.padding
    assert pixels is not None
    assert padding is not None
    origin = dict(subject.origin)
    test_cfg = origin.pop('test_cfg')
    module: Any = subject.module
    if name not in _FORMATS:
        raise InputError(f'--format {name}: detectors are exported as {" or ".join(_FORMATS)}')
    if any(side % padding['divisor'] for side in shape):
        raise InputError(
            f'--shape {shape[0]} {shape[1]}: the model pads pictures to multiples of {padding["divisor"]} '
            '(pad_size_divisor); give such a height and width'
        )
    if nms == 'outside' and not hasattr(module, 'suppresses'):
        raise InputError('--nms outside is for one-stage detectors; the second stage of this one needs it inside')
    pictures, source = read_pictures(images, shape)
    sizes = [np.array(shape)] * len(pictures)
    if (padding['seen'] or padding['left_out']) and min(shape) > 3:
        sizes[-1] = np.array([shape[0] - shape[0] // 4, shape[1]])  # a padded one, too
    normalize = Normalize(pixels, 'bgr')
    inputs = torch.cat(
        [
            pad(normalize(torch.from_numpy(one[None])), torch.from_numpy(size), padding['value'])
            for one, size in zip(pictures, sizes, strict=True)
        ]
    ).numpy()
    given, detector = inputs, module
    if order is not None:
        given = np.ascontiguousarray(pictures if order == 'bgr' else pictures[..., ::-1])
        detector = TakesPictures(Normalize(pixels, order), module, padding['value'])
    if nms == 'outside':
        module.suppresses = False
    detector.eval().requires_grad_(False)
    example, more = torch.from_numpy(given[:1]), (('size', torch.tensor(shape)),)

    def ours(image: np.ndarray, size: np.ndarray) -> list[np.ndarray]:
        return mmdet_finds(module.model, torch.from_numpy(image), size.tolist())

    with aside(out) as path:
        write(name, Plan(detector, example, False, subject.outputs, more, True), path)
        theirs = _finder(path, module.settings if nms == 'outside' else None)
        agreement = compare_detections(ours, theirs, inputs, given, sizes, subject.outputs)
        milliseconds = time_both(
            lambda _: ours(inputs[:1], sizes[0]), lambda _: theirs(given[:1], sizes[0]), inputs[:1]
        )
        report = {
            'mmsparseswin_export': VERSION,
            'format': name,
            'task': subject.task,
            **origin,
            'classes': subject.classes,
            'precision': 'float32',
            'input': {**describe_input(example, False, order, pixels), 'resizing': subject.resizing},
            'padding': padding,
            'detector': {'nms': nms, **module.settings, 'test_cfg': test_cfg},
            'outputs': [
                {'name': one, 'shape': ['found', *rows.shape[1:]]}
                for one, rows in zip(subject.outputs, theirs(given[:1], sizes[0]), strict=True)
            ],
            'bytes': {one.name: one.stat().st_size for one in sorted(path.parent.iterdir())},
            'comparison': {
                'with': 'eager mmdet, float32',
                'pictures': source,
                'detections': agreement.detections,
                'decided_by_rounding': agreement.by_rounding,
                'equal': {'iou_above': SAME_IOU, 'scores_within': SAME_SCORE, 'rounding': NUDGE},
                'outputs': {
                    one: {'largest_difference': d.difference, 'relative': d.relative}
                    for one, d in agreement.differences.items()
                },
            },
            'milliseconds': {
                'eager': round(milliseconds[0], 2),
                'file': round(milliseconds[1], 2),
                'images': 1,
                'threads': torch.get_num_threads(),
                'processor': processor().report.name,
            },
            'versions': versions(name),
            'written': datetime.now(timezone.utc).isoformat(timespec='seconds'),
        }
        path.with_name(f'{out.name}.json').write_text(json.dumps(report, indent=1) + '\n')
    return report


def _finder(path: Path, outside: dict[str, Any] | None) -> Find:
    """Return what runs the file, with NMS behind it by the settings ``outside``."""
    engine = open_engine(path, torch.get_num_threads())

    def find(image: np.ndarray, size: np.ndarray) -> list[np.ndarray]:
        found = engine.run(image, size)
        if outside is None:
            return found
        kept = suppress_as(outside, found[0], found[1], found[2])
        return [one[kept] for one in found]

    return find


def pad(image: Tensor, size: Tensor, value: float) -> Tensor:
    """Set what lies right of and below the picture of ``size`` (height, width) in (1, 3, H, W) to ``value``."""
    rows = torch.arange(int(image.shape[2])) < size[0]
    columns = torch.arange(int(image.shape[3])) < size[1]
    return torch.where(rows[:, None] & columns, image, value)


class TakesPictures(nn.Module):
    """A detector that takes pictures of uint8 (1, H, W, 3), normalises and pads them."""

    def __init__(self, normalize: Normalize, detector: nn.Module, value: float) -> None:
        super().__init__()
        self.normalize, self.detector, self.value = normalize, detector, value

    def forward(self, pictures: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        """Return the detections."""
        return self.detector(pad(self.normalize(pictures), size, self.value), size)
