"""Read Pascal VOC labels: one XML file per picture, as labelImg, CVAT and Roboflow write them, too."""

import math
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from mmsparseswin.errors import InputError, few
from mmsparseswin.image_headers import read_header, size_mismatch
from mmsparseswin.label_formats.problems import LabelError, Problems
from mmsparseswin.label_formats.records import (
    Instance,
    LabelledData,
    Picture,
    box_instance,
    pictures_below,
    split_name,
)

_LINE = 'line'  # attribute that keeps an element's line
_CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')
_SPLITS = ('train', 'val', 'test')
DIFFICULT = ('ignore', 'keep', 'drop')


def read_voc(
    root: Path,
    problems: Problems,
    classes: Sequence[str] | None = None,
    pixels_from_one: bool = False,
    difficult: str = 'ignore',
) -> LabelledData:
    """Read the XML files below `root` and find their pictures.

    The splits are the lists ``ImageSets/Main/*.txt`` of VOC, else the folders train, val (valid) and test that hold the
    files; without either all pictures are one split, train.

    Args:
        root: folder that holds the XML files and the pictures, at any depth.
        problems: gets the faults.
        classes: names by label; by default all that occur, sorted.
        pixels_from_one: the first pixel is (1, 1) and the last one belongs to the box, as in VOC 2007 and 2012.
        difficult: objects flagged difficult are ignored by training and scores, kept as others are, or dropped.

    Raises:
        InputError: no folder, or no XML file in it.
    """
    if not root.is_dir():
        raise InputError(f'no folder at {root}')
    files = [path for path in sorted(root.rglob('*.xml')) if not path.name.startswith('.')]
    if not files:
        raise InputError(f'no XML file below {root}: Pascal VOC has one per picture, in Annotations/')
    pictures: dict[str, list[Path]] = defaultdict(list)
    for path in pictures_below(root):
        pictures[path.stem].append(path)
    read: dict[Path, tuple[Picture, list[tuple[str, Instance, int]]]] = {}
    for file in files:
        with problems.at(file):
            tree = _parse(file)
            path = _picture_of(file, tree, pictures)
            picture = Picture(path, _size(path, tree, file), [])
            found = []
            for one in tree.findall('object'):
                line = int(one.get(_LINE, 0))
                with problems.at(file, line):
                    name, instance = _read_object(one, picture.size, pixels_from_one, difficult)
                    if not (instance.ignored and difficult == 'drop'):
                        found.append((name, instance, line))
            read[file] = (picture, found)
    names = tuple(classes or sorted({name for _, found in read.values() for name, *_ in found}))
    label = {name: index for index, name in enumerate(names)}
    for file, (picture, found) in read.items():
        for name, instance, line in found:
            if name in label:
                picture.instances.append(instance._replace(label=label[name]))
            else:
                problems.add(file, line, f'the class {name!r} is none of {few(names)}')
    by_file = {file: picture for file, (picture, _) in read.items()}
    unlabelled = set().union(*pictures.values()) - {picture.path for picture in by_file.values()}
    notes = [f'{len(unlabelled)} pictures without XML file are left out: {few(sorted(unlabelled))}'] * bool(unlabelled)
    return LabelledData(names, _splits(root, files, by_file, problems), root, notes)


def _parse(file: Path) -> ElementTree.Element:
    """Parse `file`, keeping lines; entities, with which a small file can fill the memory, are refused."""
    builder, parser = ElementTree.TreeBuilder(), expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        builder.start(tag, {**attributes, _LINE: str(parser.CurrentLineNumber)})

    def refuse(*_: object) -> None:
        raise LabelError('declares a document type, which VOC files do not; take the line out')

    parser.StartElementHandler, parser.EndElementHandler = start, builder.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = builder.data, refuse
    try:
        parser.Parse(file.read_bytes(), True)
    except expat.ExpatError as error:
        raise LabelError(f'no XML: {error}') from None
    except OSError as error:
        raise LabelError(f'cannot be read: {error.strerror}') from None
    tree = builder.close()
    if tree.tag != 'annotation':
        raise LabelError(f'no VOC file: its first element is <{tree.tag}>, not <annotation>')
    return tree


def _picture_of(file: Path, tree: ElementTree.Element, pictures: dict[str, list[Path]]) -> Path:
    """Return the picture of an XML file: the one of its name, for `filename` often is a name from before."""
    written = (tree.findtext('filename') or '').strip().replace('\\', '/').rpartition('/')[2]
    found = pictures.get(file.stem) or pictures.get(Path(written).stem) or pictures.get(written) or []
    if not found:
        raise LabelError(f'no picture {file.stem}.* or {written or "(filename is empty)"} below the folder')
    if len(found) > 1:  # the nearest: beside the file, then in a folder beside its own
        shared = [len(os.path.commonpath([file.resolve(), path.resolve()])) for path in found]
        found = [path for path, length in zip(found, shared, strict=True) if length == max(shared)]
        found = [path for path in found if path.name == written] if len(found) > 1 else found
    if len(found) != 1:
        raise LabelError(f'several pictures have its name: {few(pictures[file.stem])}')
    return found[0]


def _size(path: Path, tree: ElementTree.Element, file: Path) -> tuple[int, int]:
    """Return the size of the picture; compare it with the one in the XML file, if that has any."""
    header = read_header(path)
    if header is None:
        raise LabelError(f'its picture {path} cannot be read')
    size = header.upright
    node = tree.find('size')
    said = tuple(_number(node, name) if node is not None else 0 for name in ('width', 'height'))
    if 0 in said or said == size:
        return size
    if said == header.size:
        return header.size  # labelled as stored, without a look at EXIF: our loader reads it so
    raise LabelError(size_mismatch(str(path), size, (int(said[0]), int(said[1])), str(file)))


def _number(node: ElementTree.Element, name: str) -> float:
    text = (node.findtext(name) or '').strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise LabelError(f'<{name}> of <{node.tag}> is {text!r}, no number')
    return value


def _read_object(
    node: ElementTree.Element, size: tuple[int, int], pixels_from_one: bool, difficult: str
) -> tuple[str, Instance]:
    name = (node.findtext('name') or '').strip()
    if not name:
        raise LabelError('an object without <name>')
    box = node.find('bndbox')
    if box is None:
        raise LabelError(f'the object {name!r} has no <bndbox>')
    left, top, right, bottom = (_number(box, corner) for corner in _CORNERS)
    if pixels_from_one:
        left, top = left - 1, top - 1
    if left < -1 or top < -1 or right > size[0] + 1 or bottom > size[1] + 1:
        raise LabelError(
            f'the box ({left:g}, {top:g}) to ({right:g}, {bottom:g}) leaves its picture of {size[0]} x {size[1]}'
        )
    hard = difficult != 'keep' and (node.findtext('difficult') or '0').strip() not in ('', '0', 'false', 'False')
    corners = max(left, 0.0), max(top, 0.0), min(right, float(size[0])), min(bottom, float(size[1]))
    return name, box_instance(-1, *corners, ignored=hard)


def _splits(
    root: Path, files: list[Path], by_file: dict[Path, Picture], problems: Problems
) -> dict[str, list[Picture]]:
    lists = _lists(root)
    if not lists:
        return _splits_by_folder(root, files, by_file)
    by_stem = {file.stem: file for file in files}
    splits: dict[str, list[Picture]] = {}
    for path in lists:
        pictures = splits[split_name(path.stem)] = []
        for line, text in enumerate(path.read_text(encoding='utf-8-sig').splitlines(), 1):
            if not (stem := text.strip()):
                continue
            file = by_stem.get(stem) or by_stem.get(Path(stem).stem)
            if file is None:
                problems.add(path, line, f'no XML file for {stem}')
            elif file in by_file:  # otherwise its fault is noted already
                pictures.append(by_file[file])
    return splits


def _splits_by_folder(root: Path, files: list[Path], by_file: dict[Path, Picture]) -> dict[str, list[Picture]]:
    splits: dict[str, list[Picture]] = {}
    outside = []
    for file in files:
        named = [name for part in file.relative_to(root).parts[:-1] if (name := split_name(part)) in _SPLITS]
        if not named:
            outside.append(file)
        splits.setdefault(named[0] if named else '', []).extend([by_file[file]] if file in by_file else [])
    if not outside:
        return splits
    if len(splits) > 1:
        raise InputError(f'{few(outside)} lie in no folder of a split (train, val or valid, test), and other files do')
    return {'train': splits['']}


def _lists(root: Path) -> list[Path]:
    """Return VOC's lists of pictures; trainval repeats train and val and is left out beside them."""
    found = [path for folder in sorted(root.rglob('ImageSets/Main')) for path in sorted(folder.glob('*.txt'))]
    usual = [path for path in found if split_name(path.stem) in _SPLITS]
    return usual or [path for path in found if path.stem == 'trainval']
