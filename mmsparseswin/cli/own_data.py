"""Point a config to a user's data: COCO files or class folders, with their own classes."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmsparseswin.errors import InputError
from mmsparseswin.image_files import EXTENSIONS
from mmsparseswin.label_formats.data_folder import Split, find_splits
from mmsparseswin.label_formats.records import split_name
from mmsparseswin.layers.processor import cache_folder

_METRICS = ('CocoMetric', 'FasterCocoMetric', 'mmsparseswin.CocoMetric', 'mmdet.CocoMetric')


def set_data(cfg: Config, folder: str | Path) -> tuple[str, ...]:
    """Let `cfg` train, validate and test on the data in `folder`, and give its heads their number of classes.

    Args:
        cfg: a config of mmdet, or of mmpretrain, changed in place. Pipelines, batch sizes and samplers stay.
        folder: for a detector, a folder in COCO's layout, a YOLO folder or its YAML file, which is converted in the
            cache; for a classifier, a folder with a folder per class, or with such folders in train and val. Without
            val there is no validation; a test reads val where there is no test.

    Returns:
        Names of the classes by label.

    Raises:
        InputError: no such data, faults of the labels, or a config that cannot take them.
    """
    path = Path(folder).expanduser()
    if cfg.get('default_scope') == 'mmdet':
        classes, splits = find_splits(path, cache_folder() / 'yolo')
        sets = {split: _coco_set(classes, one) for split, one in splits.items()}
        for split, one in (('val', splits.get('val')), ('test', splits.get('test') or splits.get('val'))):
            _point_metrics(cfg, split, one)
    else:
        classes, folders = _class_folders(path)
        sets = {split: _folder_set(classes, one) for split, one in folders.items()}
    for split in ('train', 'val'):
        _point_loader(cfg, split, sets.get(split))
    _point_loader(cfg, 'test', sets.get('test') or sets.get('val') or sets['train'])
    if 'test' not in sets and 'val' not in sets:
        cfg.test_evaluator = None  # the loader stays: predictions follow its pipeline
    _set_num_classes(cfg, len(classes))
    return classes


def _coco_set(classes: tuple[str, ...], split: Split) -> dict[str, Any]:
    return dict(
        type='CocoDataset',
        data_root='',
        metainfo=dict(classes=classes),
        ann_file=str(split.annotations.resolve()),
        data_prefix=dict(img=str(split.pictures.resolve())),
    )


def _folder_set(classes: tuple[str, ...], folder: Path) -> dict[str, Any]:
    return dict(type='CustomDataset', data_root=str(folder.resolve()), metainfo=dict(classes=classes))


def _point_loader(cfg: Config, split: str, own: Mapping[str, Any] | None) -> None:
    """Put the data set `own` in the place of the one of a split; without it the split is not used."""
    loader = cfg.get(f'{split}_dataloader')
    if own is None or not loader:
        for part in ('dataloader', 'evaluator', 'cfg'):
            cfg[f'{split}_{part}'] = None
        return
    cfg[f'{split}_dataloader'] = deepcopy(loader)
    dataset = cfg[f'{split}_dataloader'].dataset
    while 'dataset' in dataset:  # RepeatDataset and its like
        dataset = dataset.dataset
    if 'datasets' in dataset:
        raise InputError(f'{split}_dataloader of the config joins several data sets: own data needs one without')
    kept = {key: dataset[key] for key in ('pipeline', 'filter_cfg', 'test_mode') if key in dataset}
    if own['type'] == 'CustomDataset':
        kept.pop('filter_cfg', None)
        if not any('LoadImage' in str(step.get('type')) for step in kept.get('pipeline', ())):
            raise InputError(
                f'{split}_dataloader of the config reads no picture files, as those of CIFAR: take a config of ImageNet'
            )
    dataset.clear()
    dataset.update({**own, **kept})


def _point_metrics(cfg: Config, split: str, own: Split | None) -> None:
    cfg[f'{split}_evaluator'] = deepcopy(cfg.get(f'{split}_evaluator'))  # val and test are mostly one dict
    evaluator = cfg[f'{split}_evaluator']
    for metric in evaluator if isinstance(evaluator, list) else [evaluator] if evaluator else []:
        if metric.get('type') not in _METRICS:
            raise InputError(
                f'{split}_evaluator of the config is {metric.get("type")}: own data is scored by CocoMetric'
            )
        if own is not None:
            metric.ann_file = str(own.annotations.resolve())


def _class_folders(path: Path) -> tuple[tuple[str, ...], dict[str, Path]]:
    """Return the names of the class folders, sorted, and the folder of each split."""
    if not path.is_dir():
        raise InputError(f'no folder at {path}')
    folders = {split_name(one.name): one for one in path.iterdir() if one.is_dir()}
    splits = {split: folders[split] for split in ('train', 'val', 'test') if split in folders}
    splits = splits or {'train': path}
    classes: dict[str, None] = {}
    for folder in splits.values():
        names = [one.name for one in sorted(folder.iterdir()) if one.is_dir() and not one.name.startswith('.')]
        for name in names:
            if next(_pictures(folder / name), None) is None:
                raise InputError(f'no picture in the folder {folder / name} of the class {name!r}')
            classes.setdefault(name)
    if len(classes) < 2:
        raise InputError(
            f'{path} has {len(classes)} class folders: train/CLASS/*.jpg of two classes at least are needed'
        )
    return tuple(sorted(classes)), splits


def _pictures(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob('*') if path.suffix.lower() in EXTENSIONS)


def _set_num_classes(cfg: Config, count: int) -> None:
    """Set `num_classes` of all heads, and best-of-k accuracies to what so many classes have."""
    _set(cfg.model, count)
    for holder in (cfg.get('data_preprocessor'), cfg.model.get('data_preprocessor')):
        if isinstance(holder, dict) and 'num_classes' in holder:
            holder['num_classes'] = count
    for name in ('val_evaluator', 'test_evaluator'):
        _set(cfg.get(name), count)


def _set(node: Any, count: int) -> None:
    if isinstance(node, (list, tuple)):
        for one in node:
            _set(one, count)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == 'num_classes' and isinstance(value, int):
                node[key] = count
            elif key == 'topk' and isinstance(value, (list, tuple)):
                node[key] = tuple(k for k in value if k <= count)
            elif key not in ('backbone', 'data_preprocessor', 'rpn_head'):  # an RPN separates objects from background
                _set(value, count)
