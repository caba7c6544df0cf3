"""Finds what is wrong with a COCO data set before a training starts rather than hours into it, or never."""

import inspect
import json
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope

from mmsparseswin.errors import InputError

_NEEDED = {
    'images': ('id', 'file_name', 'height', 'width'),
    'annotations': ('id', 'image_id', 'category_id', 'bbox', 'area'),
    'categories': ('id', 'name'),
}


class CocoFile(NamedTuple):
    """A COCO annotation file of a config, checked."""

    option: str  # where the config names it, for instance train_dataloader.dataset
    path: str
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: list[dict[str, Any]]
    classes: tuple[str, ...]  # the classes that the detector learns


def check_config(cfg: Config, splits: Sequence[str] = ('train', 'val', 'test')) -> list[CocoFile]:
    """Check the COCO data sets of the data loaders ``<split>_dataloader`` and the model's numbers of classes.

    Data sets of other types are passed over. Boxes beyond their image are only warned about: mmdet clips or drops them.

    Raises:
        InputError: one line that names the option or file to mend.
    """
    seen: dict[tuple, CocoFile] = {}
    for split in splits:
        loader = cfg.get(f'{split}_dataloader')
        leaves = list(_leaves(loader.dataset, f'{split}_dataloader.dataset')) if loader else []
        for option, dataset in leaves:
            kind = _dataset_class(dataset, cfg)
            if kind is None:
                continue
            key = tuple(str(dataset.get(name)) for name in ('data_root', 'ann_file', 'data_prefix', 'metainfo'))
            if key not in seen:
                seen[key] = _check_dataset(dataset, option, kind)
            if split != 'train' and len(leaves) == 1:
                check_evaluator(cfg.get(f'{split}_evaluator'), f'{split}_evaluator', seen[key])
    for coco in seen.values():
        check_num_classes(cfg.get('model', {}), coco)
    return list(seen.values())


def _leaves(dataset: Any, option: str) -> Iterator[tuple[str, Any]]:
    """The data sets inside RepeatDataset, ConcatDataset, ClassBalancedDataset, MultiImageMixDataset and their like."""
    if isinstance(dataset, (list, tuple)):
        for index, part in enumerate(dataset):
            yield from _leaves(part, f'{option}.{index}')
    elif 'dataset' in dataset:
        yield from _leaves(dataset['dataset'], f'{option}.dataset')
    elif 'datasets' in dataset:
        yield from _leaves(dataset['datasets'], f'{option}.datasets')
    else:
        yield option, dataset


def _dataset_class(dataset: dict[str, Any], cfg: Config) -> type[CocoDataset] | None:
    if DefaultScope.get_current_instance() is None:
        init_default_scope(cfg.get('default_scope', 'mmdet'))
    kind = dataset.get('type')
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    if not inspect.isclass(kind) or not issubclass(kind, CocoDataset):
        return None
    # LVIS and others read other keys; a file on a remote store is left to mmengine's file backends.
    is_plain = kind.load_data_list is CocoDataset.load_data_list and isinstance(dataset.get('ann_file'), str)
    return kind if is_plain and not dataset.get('backend_args') else None


def _check_dataset(dataset: dict[str, Any], option: str, kind: type[CocoDataset]) -> CocoFile:
    root = dataset.get('data_root') or ''
    if root and not os.path.isdir(root):
        raise InputError(
            f'{option}: no data root {root}; put the data there (annotations/*.json beside the image folders, as COCO) '
            f'or name its place with --cfg-options data_root=DIR'
        )
    path = os.path.join(root, dataset['ann_file'])
    content = read_coco(path, option)
    coco = CocoFile(option, path, *content, classes=_classes(dataset, option, kind))
    _check_categories(coco)
    _check_references(coco)
    folder = os.path.join(root, (dataset.get('data_prefix') or {}).get('img', ''))
    _check_images(coco, folder)
    return coco


def read_coco(path: str, option: str) -> tuple[list, list, list]:
    """Images, annotations and categories of a COCO file, each record with the keys that mmdet reads.

    Raises:
        InputError: no such file, not JSON, or a key is missing.
    """
    if not os.path.isfile(path):
        raise InputError(f'{option}: no annotation file {path}; name it with --cfg-options {option}.ann_file=FILE')
    try:
        content = json.loads(Path(path).read_bytes())
    except ValueError as error:
        raise InputError(f'annotation file {path} is not JSON: {error}') from None
    if not isinstance(content, dict):
        raise InputError(f'annotation file {path} holds a {type(content).__name__}, not the dict of a COCO file')
    if option.startswith('test_dataloader'):
        content.setdefault('annotations', [])  # COCO publishes its test images without
    for section, keys in _NEEDED.items():
        if not isinstance(content.get(section), list):
            raise InputError(f'annotation file {path} has no list {section!r}; a COCO file has {", ".join(_NEEDED)}')
        for record in content[section]:
            lacking = [key for key in keys if key not in record]
            if lacking:
                name = record.get('id', record)
                raise InputError(f'annotation file {path}: {section} entry {name} has no {" and no ".join(lacking)}')
        twice = [number for number, count in Counter(record['id'] for record in content[section]).items() if count > 1]
        if twice:
            raise InputError(f'annotation file {path}: {section} share the ids {_few(twice)}; ids must be unique')
    if not content['images']:
        raise InputError(f'annotation file {path} lists no images')
    return content['images'], content['annotations'], content['categories']


def _classes(dataset: dict[str, Any], option: str, kind: type[CocoDataset]) -> tuple[str, ...]:
    classes = (dataset.get('metainfo') or {}).get('classes', kind.METAINFO['classes'])
    if isinstance(classes, str):
        if os.path.isfile(classes):  # mmengine reads a list of names from a file
            return tuple(Path(classes).read_text().split('\n'))
        raise InputError(
            f'{option}.metainfo.classes is the string {classes!r}, which is read letter by letter; '
            f'write the tuple ({classes!r},)'
        )
    return tuple(classes)


def _check_categories(coco: CocoFile) -> None:
    names = [category['name'] for category in coco.categories]
    absent = [name for name in coco.classes if name not in names]
    if absent:
        raise InputError(
            f'{coco.option}: the classes {_few(absent)} are not among the categories {_few(names)} of {coco.path}; set '
            f'{coco.option}.metainfo.classes and the num_classes of the heads (without metainfo mmdet expects '
            'the 80 classes of COCO)'
        )


def _check_references(coco: CocoFile) -> None:
    images = {image['id']: image for image in coco.images}
    categories = {category['id'] for category in coco.categories}
    orphans = [ann['id'] for ann in coco.annotations if ann['image_id'] not in images]
    if orphans:
        raise InputError(f'annotation file {coco.path}: annotations {_few(orphans)} are for images it does not list')
    strays = [ann['id'] for ann in coco.annotations if ann['category_id'] not in categories]
    if strays:
        raise InputError(f'annotation file {coco.path}: annotations {_few(strays)} have categories it does not list')
    misfit = [ann['id'] for ann in coco.annotations if len(ann['bbox']) != 4]
    if misfit:
        raise InputError(f'annotation file {coco.path}: the boxes of annotations {_few(misfit)} are not [x, y, w, h]')
    outside = [ann['id'] for ann in coco.annotations if _is_outside(ann['bbox'], images[ann['image_id']])]
    if outside:
        warnings.warn(f'{coco.path}: boxes of annotations {_few(outside)} reach beyond their image', stacklevel=2)


def _is_outside(box: Sequence[float], image: dict[str, Any]) -> bool:
    x, y, w, h = box
    slack = 1.0  # COCO's own boxes overshoot by rounding
    return min(x, y) < -slack or x + w > image['width'] + slack or y + h > image['height'] + slack


def _check_images(coco: CocoFile, folder: str) -> None:
    names = [image['file_name'] for image in coco.images]
    # One listing per folder: asking for 118,000 files one by one takes minutes on a network disk.
    listing = {part: _list(os.path.join(folder, part)) for part in {os.path.dirname(name) for name in names}}
    missing = [name for name in names if os.path.basename(name) not in listing[os.path.dirname(name)]]
    if missing:
        raise InputError(
            f'{coco.option}: {len(missing)} of the {len(names)} images of {coco.path} are not in {folder or "."}: '
            f'{_few(missing)}; see {coco.option}.data_prefix.img'
        )


def _list(folder: str) -> set[str]:
    try:
        with os.scandir(folder or '.') as entries:
            return {entry.name for entry in entries}
    except OSError:
        return set()


def check_evaluator(evaluator: Any, option: str, coco: CocoFile) -> None:
    """See that the annotation file of a metric is that of the data set, or at least lists its images.

    Raises:
        InputError: it does not exist or is of other images, which mmdet would tell after the whole evaluation.
    """
    for metric in evaluator if isinstance(evaluator, list) else [evaluator or {}]:
        path = metric.get('ann_file')
        if not isinstance(path, str) or metric.get('backend_args'):
            continue
        if not os.path.isfile(path):
            raise InputError(f'{option}: no annotation file {path}; name it with --cfg-options {option}.ann_file=FILE')
        if not os.path.samefile(path, coco.path):
            strangers = {image['id'] for image in coco.images} - {image['id'] for image in read_coco(path, option)[0]}
            if strangers:
                raise InputError(
                    f'{option}.ann_file={path} does not list the images {_few(strangers)} of {coco.path}; '
                    f'name the same file in both'
                )


def check_num_classes(model: Any, coco: CocoFile) -> None:
    """Compare every `num_classes` inside the config `model` with the classes of `coco`.

    Raises:
        InputError: they differ.
    """
    for path, number in _find(model, 'model'):
        if number != len(coco.classes):
            raise InputError(
                f'{path}={number}, but {coco.option} has {len(coco.classes)} classes ({_few(coco.classes)}); '
                'set one to fit the other'
            )


def _find(node: Any, path: str) -> Iterator[tuple[str, int]]:
    """Every `num_classes` of the heads: a backbone's or preprocessor's own one is no concern of the detector."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == 'num_classes' and isinstance(value, int):
                # An RPN tells objects from background whatever the classes are.
                if '.rpn_head.' not in f'{path}.':
                    yield f'{path}.{key}', value
            elif key not in ('backbone', 'data_preprocessor'):
                yield from _find(value, f'{path}.{key}')
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _find(value, f'{path}.{index}')


def _few(items: Iterable[Any]) -> str:
    items = list(items)
    return ', '.join(map(str, items[:5])) + (f', ... ({len(items)} in all)' if len(items) > 5 else '')
