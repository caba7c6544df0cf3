"""Find the COCO files and pictures of a folder that holds COCO JSON or YOLO labels; convert YOLO in a cache."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import msgspec

from mmsparseswin.atomic_files import write_atomically
from mmsparseswin.errors import InputError, few
from mmsparseswin.label_formats.coco_file import coco_content
from mmsparseswin.label_formats.problems import Problems
from mmsparseswin.label_formats.records import split_name
from mmsparseswin.label_formats.yolo import YoloFiles, find_yolo, is_yolo, read_yolo

_VERSION = '1'  # raise it when the conversion changes, so that cached files expire
_SPLITS = ('train', 'val', 'test')


class Split(NamedTuple):
    """COCO file of a split, and the folder that its file names start from."""

    annotations: Path
    pictures: Path


class _Named(msgspec.Struct):
    name: str


class _Pictured(msgspec.Struct):
    file_name: str


class _Head(msgspec.Struct):
    """What is read of a COCO file here; the check of the data reads the rest."""

    images: list[_Pictured]
    categories: list[_Named]


def find_splits(source: Path, cache: Path) -> tuple[tuple[str, ...], dict[str, Split]]:
    """Find the data set in `source`: a folder in COCO's layout, or a YOLO folder or its YAML file.

    Args:
        source: the folder. COCO files are ``annotations/*train*.json`` and so on, or ``train/*.json`` beside pictures.
        cache: folder for the COCO files made of YOLO labels; they are made once for the same labels and pictures.

    Returns:
        Names of the classes by label, and the splits train, val and test as far as they are there.

    Raises:
        InputError: none of the layouts, faults of the labels with file and line, or two files for one split.
    """
    if not source.exists():
        raise InputError(f'no data at {source}')
    files = _coco_files(source) if source.is_dir() else {}
    if files:
        return _read_coco(source, files)
    if is_yolo(source):
        return _convert(source, cache)
    raise InputError(
        f'{source} holds no COCO files (annotations/*train*.json, annotations/*val*.json) and no data.yaml of YOLO; '
        'voc-to-coco and masks-to-coco of mmsparseswin convert Pascal VOC and mask pictures'
    )


def _coco_files(source: Path) -> dict[str, Path]:
    """Return the annotation file of each split: of COCO's layout, or of a folder per split."""
    found: dict[str, list[Path]] = {}
    for folder in (source / 'annotations', source):
        for path in sorted(folder.glob('*.json')):
            parts = path.stem.replace('-', '_').split('_')
            for split in _SPLITS:
                if any(split_name(part.rstrip('0123456789')) == split for part in parts):
                    found.setdefault(split, []).append(path)
    for name in ('train', 'val', 'valid', 'test'):
        found.setdefault(split_name(name), []).extend(sorted((source / name).glob('*.json')))
    for split, paths in found.items():
        instances = [path for path in paths if path.name.startswith('instances')]
        if len(paths) > 1 and len(instances) == 1:  # COCO has captions and keypoints beside them
            found[split] = instances
        elif len(paths) > 1:
            raise InputError(f'{source} has several files for {split}: {few(paths)}; leave one there')
    return {split: paths[0] for split, paths in found.items() if paths}


def _read_coco(source: Path, files: dict[str, Path]) -> tuple[tuple[str, ...], dict[str, Split]]:
    if 'train' not in files and 'val' not in files and 'test' not in files:
        raise InputError(f'{source} has no COCO file of train, val or test')
    splits, classes = {}, None
    for split, path in files.items():
        try:
            head = msgspec.json.decode(path.read_bytes(), type=_Head)
        except msgspec.MsgspecError as error:
            raise InputError(f'{path} is no COCO file: {error}') from None
        names = tuple(dict.fromkeys(category.name for category in head.categories))
        classes = names if classes is None else classes
        if set(names) != set(classes):
            raise InputError(f'{path} has the categories {few(names)}, and another split {few(classes)}: make them one')
        splits[split] = Split(path, _pictures_of(source, split, path, head))
    return classes or (), splits


def _pictures_of(source: Path, split: str, path: Path, head: _Head) -> Path:
    names = [image.file_name for image in head.images[:20]]
    if not names:
        raise InputError(f'{path} lists no pictures')
    words = [word for word in path.stem.split('_') if word.startswith(split)]  # train2017 of instances_train2017
    below = [*words, split, 'images', f'images/{split}', f'{split}/images', *[f'images/{word}' for word in words]]
    places = [path.parent, source, *(source / name for name in (*below, 'valid')), source.parent]
    for place in places:
        if all((place / name).is_file() for name in names):
            return place
    tried = ', '.join(str(place) for place in dict.fromkeys(places) if place.is_dir())
    raise InputError(f'the pictures of {path} ({names[0]}) are in none of {tried}')


def _convert(source: Path, cache: Path) -> tuple[tuple[str, ...], dict[str, Split]]:
    problems = Problems()
    files = find_yolo(source, problems)
    folder = cache / _key(files)
    targets = {split: folder / f'instances_{split}.json' for split in files.splits}
    about = folder / 'pictures.txt'
    if not (about.is_file() and all(path.is_file() for path in targets.values())) or problems.lines:
        data = read_yolo(files, problems)
        problems.refuse(
            f'mend them, or leave them out by `mmsparseswin yolo-to-coco {source} OUT --leave-out` and train on OUT'
        )
        for split, pictures in data.splits.items():
            names = [str(picture.path.relative_to(data.root)) for picture in pictures]
            content = json.dumps(coco_content(pictures, names, data.classes)).encode()
            write_atomically(targets[split], content)
        for note in data.notes:
            print(note)
        write_atomically(about, str(data.root).encode())
    root = Path(about.read_text())
    return files.classes, {split: Split(path, root) for split, path in targets.items()}


def _key(files: YoloFiles) -> str:
    """Return a hash of the labels, and of names, sizes and times of the pictures."""
    digest = hashlib.blake2b(repr((_VERSION, files.classes)).encode(), digest_size=16)
    for split, pairs in files.splits.items():
        digest.update(split.encode())
        for path, label in pairs:
            state = path.stat()
            digest.update(repr((str(path), state.st_size, state.st_mtime_ns)).encode())
            digest.update(label.read_bytes() if label.is_file() else b'-')
    return digest.hexdigest()
