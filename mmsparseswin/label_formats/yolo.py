"""Read YOLO labels: data.yaml, and a text file of boxes or outlines per picture."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml  # type: ignore[import-untyped]

from mmsparseswin.errors import InputError, few
from mmsparseswin.label_formats.problems import LabelError, Problems
from mmsparseswin.label_formats.records import (
    Instance,
    LabelledData,
    Picture,
    box_instance,
    pictures_below,
    polygon_instance,
    upright_size,
)

_SPLITS = ('train', 'val', 'test')
_SLACK = 1e-3  # of a side; numbers that were rounded


class YoloFiles(NamedTuple):
    """Files of a YOLO data set, found and not read."""

    config: Path  # its data.yaml
    classes: tuple[str, ...]
    splits: dict[str, list[tuple[Path, Path]]]  # pictures with their label files, which may be missing


def is_yolo(folder: Path) -> bool:
    """Return True if `folder` is a YOLO data set, or the YAML file of one."""
    return folder.suffix in ('.yaml', '.yml') or bool(_yaml_files(folder))


def find_yolo(source: Path, problems: Problems) -> YoloFiles:
    """Find the files of the data set that a YAML file, or the only one in a folder, describes.

    ``train``, ``val`` and ``test`` may be folders, lists of folders, or text files that list pictures. They are looked
    for below ``path``, below the YAML file's folder, and without the leading ``../`` that some exports write.

    Raises:
        InputError: no such file, no names of classes, no train, or a folder that is nowhere.
    """
    config = _config_file(source)
    content = _read_yaml(config)
    if 'kpt_shape' in content:
        raise InputError(f'{config}: kpt_shape says that its labels are keypoints, which are not read; remove them')
    classes = _names(config, content)
    if not content.get('train'):
        raise InputError(f'{config} names no pictures to train on: add train: FOLDER')
    splits: dict[str, list[tuple[Path, Path]]] = {}
    for split in _SPLITS:
        entries = content.get(split) or (content.get('valid') if split == 'val' else None) or []
        found: dict[Path, Path] = {}
        for entry in [entries] if isinstance(entries, str) else entries:
            for path in _pictures(config, content, split, str(entry), problems):
                found[path] = _label_file(path)
        if entries:
            splits[split] = list(found.items())
    return YoloFiles(config, classes, splits)


def read_yolo(files: YoloFiles, problems: Problems) -> LabelledData:
    """Read the labels of `files`: ``class x y width height``, or ``class x1 y1 x2 y2 x3 y3 ...``, in parts of a side.

    A picture without label file has no objects; such are noted.

    Raises:
        InputError: no picture of a split has a label file.
    """
    splits: dict[str, list[Picture]] = {}
    notes = []
    for split, pairs in files.splits.items():
        bare = [path for path, label in pairs if not label.is_file()]
        if len(bare) == len(pairs):
            where = pairs[0][1] if pairs else '-'
            raise InputError(f'{files.config}: none of the {len(pairs)} pictures of {split} has labels, as {where}')
        if bare:
            notes.append(f'{split}: {len(bare)} pictures without label file have no objects: {few(bare)}')
        pictures = splits[split] = []
        for path, label in pairs:
            with problems.at(path):
                size = upright_size(path)
                pictures.append(Picture(path, size, list(_read_labels(label, files.classes, size, problems))))
    folders = {str(path.parent) for pairs in files.splits.values() for path, _ in pairs}
    return LabelledData(files.classes, splits, Path(os.path.commonpath(folders)), notes)


def _yaml_files(folder: Path) -> list[Path]:
    return sorted(path for pattern in ('*.yaml', '*.yml') for path in folder.glob(pattern))


def _config_file(source: Path) -> Path:
    if source.is_file():
        return source
    if not source.is_dir():
        raise InputError(f'no YOLO folder or YAML file at {source}')
    found = _yaml_files(source)
    chosen = [path for path in found if path.stem in ('data', 'dataset')] or found
    if len(chosen) != 1:
        what = f'several YAML files ({few(chosen)}): name one' if chosen else 'no data.yaml: give its path'
        raise InputError(f'{source} has {what}')
    return chosen[0]


def _read_yaml(config: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(config.read_text(encoding='utf-8-sig'))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f'{config} is no YAML file: {" ".join(str(error).split())}') from None
    if not isinstance(content, dict):
        raise InputError(f'{config} holds no keys train, val, names')
    return content


def _names(config: Path, content: dict[str, Any]) -> tuple[str, ...]:
    names = content.get('names')
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise InputError(f'{config}: names numbers the classes {few(names)}; the numbers go from 0 without a gap')
        names = [names[index] for index in range(len(names))]
    if not isinstance(names, list) or not names:
        raise InputError(f'{config}: names must list the classes, as names: [cat, dog]')
    if content.get('nc', len(names)) != len(names):
        raise InputError(f'{config}: nc is {content["nc"]}, but names has {len(names)}: {few(names)}')
    result = tuple(str(name) for name in names)
    if twice := sorted({name for name in result if result.count(name) > 1}):
        raise InputError(f'{config}: names has {few(twice)} more than once')
    return result


def _pictures(config: Path, content: dict[str, Any], split: str, entry: str, problems: Problems) -> list[Path]:
    """Return the pictures of one entry of a split, which is a folder or a text file of pictures."""
    base = config.parent
    root = base / str(content.get('path') or '')
    plain = entry
    while plain.startswith('../'):
        plain = plain[3:]
    places = [root / entry, base / entry, base / plain, root / plain, Path(entry)]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        tried = dict.fromkeys(os.path.normpath(place) for place in places)
        raise InputError(f'{config}: {split}: {entry} is nowhere; looked for {", ".join(tried)}')
    found = Path(os.path.abspath(found))
    if found.is_dir():
        pictures = pictures_below(found)
        if not pictures:
            raise InputError(f'{config}: {split}: no picture below {found}')
        return pictures
    return list(_listed(found, root, problems))


def _listed(file: Path, root: Path, problems: Problems) -> Iterator[Path]:
    for line, text in enumerate(file.read_text(encoding='utf-8-sig').splitlines(), 1):
        if name := text.strip():
            place = next((place for place in (file.parent / name, root / name) if place.is_file()), None)
            if place is None:
                problems.add(file, line, f'no picture {name}')
            else:
                yield Path(os.path.abspath(place))


def _label_file(picture: Path) -> Path:
    """Return the place of a picture's labels: the last folder ``images`` of its path becomes ``labels``."""
    head, mark, tail = str(picture).rpartition('/images/')
    return Path(f'{head}/labels/{tail}' if mark else picture).with_suffix('.txt')


def _read_labels(file: Path, classes: tuple[str, ...], size: tuple[int, int], problems: Problems) -> Iterator[Instance]:
    try:
        text = file.read_text(encoding='utf-8-sig')
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f'its labels {file} cannot be read: {error}') from None
    for line, words in enumerate(map(str.split, text.splitlines()), 1):
        if words:
            with problems.at(file, line):
                yield _read_line(words, classes, size)


def _read_line(words: list[str], classes: tuple[str, ...], size: tuple[int, int]) -> Instance:
    try:
        label, *values = map(float, words)
    except ValueError:
        raise LabelError(f'{few(words)}: numbers are expected, the class first') from None
    if label not in range(len(classes)):
        raise LabelError(f'class {words[0]}: data.yaml numbers its classes from 0 to {len(classes) - 1}')
    if len(values) == 5:
        raise LabelError('6 numbers: a confidence makes it a prediction, and a label is class x y width height')
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise LabelError(f'{len(words)} numbers: a label is class x y width height, or class and three or more x y')
    if wrong := [value for value in values if not -_SLACK <= value <= 1 + _SLACK]:
        hint = '; these look like pixels' if any(math.isfinite(value) and value > 2 for value in wrong) else ''
        raise LabelError(f'{few(wrong)}: numbers are parts of width and height, from 0 to 1{hint}')
    width, height = size
    if len(values) == 4:
        x, y, w, h = values
        left, right = max(x - w / 2, 0) * width, min(x + w / 2, 1) * width
        top, bottom = max(y - h / 2, 0) * height, min(y + h / 2, 1) * height
        return box_instance(int(label), left, top, right, bottom)
    points = np.clip(np.array(values).reshape(-1, 2), 0, 1) * size
    return polygon_instance(int(label), points)
