"""Export a model: write the file aside, run it beside eager PyTorch, and only then give it its name."""

import json
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmsparseswin.errors import InputError
from mmsparseswin.export.calibration import Calibration
from mmsparseswin.export.comparison import ALLOWED, Difference, compare, eager, open_file, time_both
from mmsparseswin.export.files import VERSION, aside, describe_input, versions
from mmsparseswin.export.formats import FORMATS, Plan, check_installed, write
from mmsparseswin.export.int8_comparison import compare_int8
from mmsparseswin.export.pictures import Normalize, WithNormalize, as_input, read_pictures
from mmsparseswin.export.quantization import check_format, quantize
from mmsparseswin.export.subjects import Subject
from mmsparseswin.layers.processor import processor


def check_request(name: str, out: Path, shape: tuple[int, int], int8: bool = False) -> None:
    """Refuse what cannot be written, before a model is built.

    Raises:
        InputError: a missing package, the wrong end of a file's name, a folder that cannot be written, a wrong shape.
    """
    check_installed(name)
    if int8:
        check_format(name)
    suffix = FORMATS[name].suffix
    if out.suffix != suffix:
        raise InputError(f'--out {out}: files of --format {name} end in {suffix}')
    if out.is_dir():
        raise InputError(f'--out {out} is a folder; name a file')
    if min(shape) < 1:
        raise InputError(f'--shape {shape[0]} {shape[1]}: give a height and a width in pixels')
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise InputError(f'--out {out}: cannot write to its folder: {error.strerror}') from None


def export(
    subject: Subject,
    name: str,
    out: Path,
    shape: tuple[int, int],
    batch: bool = False,
    order: str | None = None,
    images: list[str] | None = None,
    nms: str = 'inside',
    int8: Calibration | None = None,
) -> dict[str, Any]:
    """Export `subject`; the file has its name only if its runtime gives the numbers of eager PyTorch.

    Args:
        subject: the model.
        name: a key of `FORMATS`.
        out: the file; a JSON file of the same name and '.json' is written beside it.
        shape: height and width of the images.
        batch: take any number of images at once, in place of one.
        order: 'bgr' or 'rgb': take pictures of uint8 (B, H, W, 3) in this order and normalise them inside; None: take
            normalised float images (B, 3, H, W).
        images: pictures to compare on, files and folders; None draws some.
        nms: of a one-stage detector, 'inside' the file or 'outside'.
        int8: quantise the file, on these pictures; None writes float32.

    Returns:
        What the JSON file says.

    Raises:
        InputError: no mean and std to normalise with, unreadable pictures, or a file that computes other numbers.
    """
    check_request(name, out, shape, int8 is not None)
    if subject.task == 'detector':
        from mmsparseswin.export.detector_export import export_detector  # only detectors need mmdet

        if batch:
            raise InputError('--dynamic batch: a detector takes one image at a time')
        if int8:
            raise InputError('--precision int8: a whole detector is written in fp32; --backbone quantises its backbone')
        return export_detector(subject, name, out, shape, order, images, nms)
    if nms != 'inside':
        raise InputError(f'--nms {nms} is for whole detectors; {subject.origin.get("model")} is a {subject.task}')
    pictures, source = read_pictures(images, shape)
    module, pixels = subject.module, subject.pixels
    if order is not None:
        if pixels is None:
            raise InputError('--preprocess: a backbone by name has no mean and std; give a config')
        module = WithNormalize(Normalize(pixels, order), module)
    to_input = as_input(pixels, order)
    module.eval().requires_grad_(False)
    images_, ours = to_input(pictures), eager(module)
    example = torch.from_numpy(images_[[0, -1]] if batch else images_[:1])
    with aside(out) as path:
        write(name, Plan(module, example, batch, subject.outputs), path)
        theirs = open_file(name, path)
        compared = _exactly(compare(ours, theirs, images_, batch, subject.outputs), source)
        if int8:
            quantize(name, path, _each(to_input, int8.pictures))
            exact, theirs = theirs, open_file(name, path)
            found = compare_int8(ours, theirs, _each(to_input, int8.compared), subject.outputs, int8.labels)
            compared = {'with': 'eager PyTorch, float32', 'pictures': int8.source, **found}
        milliseconds = time_both(ours, theirs, images_[:1])
        results = theirs(images_[:1])
        report = {
            'mmsparseswin_export': VERSION,
            'format': name,
            'task': subject.task,
            **subject.origin,
            'classes': subject.classes,
            'precision': 'int8' if int8 else 'float32',
            'input': {**describe_input(example, batch, order, pixels), 'resizing': subject.resizing},
            'outputs': [
                {'name': one, 'shape': ['batch' if batch else 1, *result.shape[1:]]}
                for one, result in zip(subject.outputs, results, strict=True)
            ],
            'bytes': {one.name: one.stat().st_size for one in sorted(path.parent.iterdir())},
            'comparison': compared,
            'milliseconds': {
                'eager': round(milliseconds[0], 2),
                'file': round(milliseconds[1], 2),
                **({'file_float32': round(time_both(exact, theirs, images_[:1])[0], 2)} if int8 else {}),
                'images': 1,
                'threads': torch.get_num_threads(),
                'processor': processor().report.name,
            },
            'versions': versions(name, int8 is not None),
            'written': datetime.now(timezone.utc).isoformat(timespec='seconds'),
        }
        path.with_name(f'{out.name}.json').write_text(json.dumps(report, indent=1) + '\n')
    return report


def _exactly(differences: dict[str, Difference], source: str) -> dict[str, Any]:
    """Return what the JSON file says of a comparison."""
    outputs = {one: {'largest_difference': d.difference, 'relative': d.relative} for one, d in differences.items()}
    return {'with': 'eager PyTorch, float32', 'pictures': source, 'allowed_relative': ALLOWED, 'outputs': outputs}


def _each(to_input: Callable[[np.ndarray], np.ndarray], pictures: np.ndarray) -> Iterator[np.ndarray]:
    """Yield inputs of one image each: all at once they may not fit into memory."""
    return (to_input(picture[None]) for picture in pictures)
