"""Check the COCO data sets of a config before a training starts.

Repair faults whose right value is certain, in a copy of the annotation file that the data set and its metric then read.
Refuse every other fault in one line.
"""

import inspect
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope

from mmsparseswin.data_files import missing_files
from mmsparseswin.detection.data_check.check import Verdict, check_file, repaired_path
from mmsparseswin.detection.data_check.findings import Marked
from mmsparseswin.detection.data_check.pictures import check_sizes
from mmsparseswin.detection.data_check.schema import RECORDS
from mmsparseswin.errors import InputError, few

_UNSCORED = ('images', 'categories')  # COCO publishes its test images without annotations
_OUR_METRIC = 'mmsparseswin.CocoMetric'


@dataclass
class CheckedSet:
    """Checked COCO data set of a config."""

    option: str  # its place in the config, e.g. train_dataloader.dataset
    classes: tuple[str, ...]  # the names that the detector learns, by label
    verdict: Verdict
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    marked: list[Marked] = field(default_factory=list)  # records that these are about
    folder: str = ''  # of the pictures


def check_config(cfg: Config, splits: Sequence[str] = ('train', 'val', 'test'), **options: Any) -> list[CheckedSet]:
    """Check the data sets of `cfg` by :func:`inspect_config`.

    Raises:
        InputError: one line that names the option or file to repair.
    """
    checked = inspect_config(cfg, splits, **options)
    errors = list(dict.fromkeys(error for one in checked for error in one.errors))
    if errors:
        more = f' ({len(errors) - 1} more: tools/misc/check_dataset.py lists all)' if len(errors) > 1 else ''
        raise InputError(errors[0] + more)
    return checked


def inspect_config(
    cfg: Config,
    splits: Sequence[str] = ('train', 'val', 'test'),
    repair_dir: str | None = None,
    look_at_pictures: bool = True,
) -> list[CheckedSet]:
    """Check the COCO data sets of the data loaders ``<split>_dataloader`` and the model's numbers of classes.

    Data sets of other types are passed over.

    Args:
        cfg: the config. Data sets and metrics whose file was repaired are pointed to the copy.
        splits: the data loaders to check.
        repair_dir: folder for repaired copies; without one nothing is written and `cfg` stays as it is.
        look_at_pictures: read the headers of pictures, too.

    Raises:
        InputError: a file is missing or unreadable, or a number of classes is wrong.
    """
    checked: list[CheckedSet] = []
    pictures_seen: dict[tuple, tuple[list[str], list[str], list[Marked]]] = {}
    for split in splits:
        loader = cfg.get(f'{split}_dataloader')
        leaves = list(_leaves(loader.dataset, f'{split}_dataloader.dataset')) if loader else []
        for option, dataset in leaves:
            kind = _dataset_class(dataset, cfg)
            if kind is None:
                continue
            evaluator = cfg.get(f'{split}_evaluator') if split != 'train' and len(leaves) == 1 else None
            one = _check_dataset(dataset, option, kind, _metrics(evaluator), repair_dir)
            if not one.errors and look_at_pictures:
                folder = _folder(dataset)
                key = (one.verdict.key, folder)
                if key not in pictures_seen:
                    pictures_seen[key] = check_sizes(one.verdict.pictures, folder, one.verdict.path)
                one.errors += pictures_seen[key][0]
                one.notes += pictures_seen[key][1]
                one.marked += pictures_seen[key][2]
            checked.append(one)
    for one in checked:
        check_num_classes(cfg.get('model', {}), one)
    return checked


def _leaves(dataset: Any, option: str) -> Iterator[tuple[str, Any]]:
    """Yield the data sets inside RepeatDataset, ConcatDataset, ClassBalancedDataset, MultiImageMixDataset and so on."""
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
    # LVIS and others read other keys; remote files need the file backends of mmengine.
    is_plain = kind.load_data_list is CocoDataset.load_data_list and isinstance(dataset.get('ann_file'), str)
    return kind if is_plain and not dataset.get('backend_args') else None


def _folder(dataset: dict[str, Any]) -> str:
    return os.path.join(dataset.get('data_root') or '', (dataset.get('data_prefix') or {}).get('img', ''))


def _metrics(evaluator: Any) -> list[Any]:
    """Return the metric dicts of an evaluator that name an annotation file."""
    if isinstance(evaluator, dict) and 'metrics' in evaluator:
        evaluator = evaluator['metrics']
    metrics = evaluator if isinstance(evaluator, (list, tuple)) else [evaluator or {}]
    return [one for one in metrics if isinstance(one.get('ann_file'), str) and not one.get('backend_args')]


def _check_dataset(
    dataset: dict[str, Any], option: str, kind: type[CocoDataset], metrics: list[Any], repair_dir: str | None
) -> CheckedSet:
    root = dataset.get('data_root') or ''
    if root and not os.path.isdir(root):
        raise InputError(
            f'{option}: no data root {root}; put the data there (annotations/*.json beside the image folders, as COCO) '
            f'or name its place with --cfg-options data_root=DIR'
        )
    path = os.path.join(root, dataset['ann_file'])
    classes = _classes(dataset, option, kind)
    masks = _asks_for_masks(dataset.get('pipeline')) or any('segm' in str(metric.get('metric')) for metric in metrics)
    sections = _UNSCORED if option.startswith('test_dataloader') else tuple(RECORDS)
    verdict = check_file(path, option, classes, masks, sections, repair_dir)
    one = CheckedSet(
        option, classes, verdict, list(verdict.errors), list(verdict.notes), list(verdict.marked), _folder(dataset)
    )
    if one.errors:
        return one
    names = [name for name, *_ in verdict.pictures]
    if missing := missing_files(names, _folder(dataset)):
        one.errors.append(
            f'{option}: {len(missing)} of the {len(names)} images of {path} are not in {_folder(dataset) or "."}: '
            f'{few(missing)}; see {option}.data_prefix.img'
        )
    if option.startswith('train_dataloader') and not dataset.get('test_mode'):
        _check_training(one, dataset.get('filter_cfg') or {})
        if _keeps_polygons(dataset.get('pipeline')):
            _check_polygons(one)
    else:
        _check_scoring(one)
    for metric in metrics:
        _check_metric(metric, option.replace('dataloader.dataset', 'evaluator'), one, masks, repair_dir)
    if verdict.rewrite and repair_dir is not None and not one.errors:
        dataset['ann_file'] = repaired_path(verdict, repair_dir)
    return one


def _classes(dataset: dict[str, Any], option: str, kind: type[CocoDataset]) -> tuple[str, ...]:
    metainfo = dataset.get('metainfo') or {}
    classes = metainfo.get('classes', kind.METAINFO['classes'])
    if isinstance(classes, str):
        if not os.path.isfile(classes):
            raise InputError(
                f'{option}.metainfo.classes is the string {classes!r}, which is read letter by letter; '
                f'write the tuple ({classes!r},)'
            )
        # mmengine reads a list of names from a file, but keeps a byte order mark and a last empty line.
        with open(classes, encoding='utf-8-sig') as file:
            classes = metainfo['classes'] = tuple(name for line in file if (name := line.strip()))
    return tuple(classes)


def _asks_for_masks(pipeline: Any) -> bool:
    if isinstance(pipeline, dict):
        return bool(pipeline.get('with_mask')) or any(map(_asks_for_masks, pipeline.values()))
    return isinstance(pipeline, (list, tuple)) and any(map(_asks_for_masks, pipeline))


def _keeps_polygons(pipeline: Any) -> bool:
    """Return True if a LoadAnnotations of the pipeline keeps masks as polygons."""
    if isinstance(pipeline, dict):
        polygons = pipeline.get('with_mask') and not pipeline.get('poly2mask', True)
        return bool(polygons) or any(map(_keeps_polygons, pipeline.values()))
    return isinstance(pipeline, (list, tuple)) and any(map(_keeps_polygons, pipeline))


def _check_polygons(one: CheckedSet) -> None:
    """Refuse masks that mmdet would pass over: without polygons it ignores the whole object."""
    objects = one.verdict.objects.values()
    if number := sum(counts.run_lengths for counts in objects):
        one.errors.append(
            f'{one.option}: {number} of the {sum(counts.left for counts in objects)} objects to learn of '
            f'{one.verdict.path} have an RLE as mask, which LoadAnnotations(poly2mask=False) leaves out with their '
            'boxes; set poly2mask=True'
        )


def _check_training(one: CheckedSet, filter_cfg: dict[str, Any]) -> None:
    """Check that mmdet's filters leave pictures and objects to train on."""
    path, pictures = one.verdict.path, one.verdict.pictures
    min_size, drop_empty = filter_cfg.get('min_size', 0), filter_cfg.get('filter_empty_gt', False)
    small = [name for name, width, height in pictures if min(width, height) < min_size]
    empty = one.verdict.has_object.count(False) if drop_empty else 0
    left = [
        name
        for (name, width, height), full in zip(pictures, one.verdict.has_object, strict=True)
        if min(width, height) >= min_size and (full or not drop_empty)
    ]
    if not left:
        one.errors.append(
            f'{one.option}: filter_cfg leaves none of the {len(pictures)} images of {path}: {len(small)} are smaller '
            f'than min_size={min_size}, {empty} have no object of a class; lower {one.option}.filter_cfg.min_size or '
            'set filter_empty_gt=False'
        )
    elif small:
        one.notes.append(f'{one.option}: filter_cfg leaves out {few(small)}, smaller than min_size={min_size}')
    objects = one.verdict.objects
    if not any(counts.left for counts in objects.values()):
        total, crowd, tiny, ignored = (
            sum(getattr(counts, name) for counts in objects.values()) for name in ('total', 'crowd', 'tiny', 'ignored')
        )
        if not objects:
            one.errors.append(f'{one.option} names no class to learn: set {one.option}.metainfo.classes')
        elif total == 0:
            one.errors.append(
                f'{one.option}: {path} has no object of the classes {few(objects)}: label some, or name the right file'
            )
        else:
            one.errors.append(
                f'{one.option}: {path} has no object to learn: of {total} objects of the classes {crowd} are crowds, '
                f'{tiny} narrower than a pixel, {ignored} flagged ignore; correct these fields'
            )
    elif unlearnt := [name for name, counts in objects.items() if not counts.left]:
        one.notes.append(f'{one.option}: {path} has no object to learn of the classes {few(unlearnt)}')


def _check_scoring(one: CheckedSet) -> None:
    objects = one.verdict.objects
    if unscored := [name for name, counts in objects.items() if counts.crowd and counts.crowd == counts.total]:
        one.notes.append(f'{one.option}: all objects of the classes {few(unscored)} are crowds, which are not scored')
    if not any(counts.total for counts in objects.values()):
        one.notes.append(f'{one.option}: {one.verdict.path} has no objects to find; a score means nothing (-1)')


def _check_metric(metric: Any, option: str, one: CheckedSet, masks: bool, repair_dir: str | None) -> None:
    """Check that a metric reads the file of its data set or one with all its images; give it the repaired copy.

    Raises:
        InputError: its file is missing or of other images, which mmdet would report after the whole evaluation.
    """
    path, verdict = metric['ann_file'], one.verdict
    if repair_dir is not None and os.path.dirname(path) == os.path.abspath(repair_dir):
        return  # val and test share one metric dict: already repaired
    if not os.path.isfile(path):
        raise InputError(f'{option}: no annotation file {path}; name it with --cfg-options {option}.ann_file=FILE')
    if not os.path.samefile(path, verdict.path):
        verdict = check_file(path, option, one.classes, masks, _UNSCORED, repair_dir)
        one.errors += verdict.errors
        one.notes += verdict.notes
        strangers = set(one.verdict.ids) - set(verdict.ids)
        if not verdict.errors and (strangers or verdict.renumbered or one.verdict.renumbered):
            why = (
                f'does not list the images {few(strangers)}'
                if strangers
                else 'numbers images by ids that are no numbers'
            )
            one.errors.append(f'{option}.ann_file={path} {why} of {one.verdict.path}; name the same file in both')
    if verdict.rewrite and repair_dir is not None and not one.errors:
        metric['ann_file'] = repaired_path(verdict, repair_dir)
        if verdict.renumbered and metric.get('type') in ('CocoMetric', 'FasterCocoMetric'):
            metric['type'] = _OUR_METRIC  # writes predictions with the original ids


def check_num_classes(model: Any, one: CheckedSet) -> None:
    """Compare every `num_classes` inside the config `model` with the classes of the data set.

    Raises:
        InputError: they differ.
    """
    for path, number in _find(model, 'model'):
        if number != len(one.classes):
            raise InputError(
                f'{path}={number}, but {one.option} has {len(one.classes)} classes ({few(one.classes)}); '
                'set one to fit the other'
            )


def _find(node: Any, path: str) -> Iterator[tuple[str, int]]:
    """Yield every `num_classes` of the heads; those of a backbone or preprocessor do not concern the detector."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == 'num_classes' and isinstance(value, int):
                # An RPN separates objects from background, without classes.
                if '.rpn_head.' not in f'{path}.':
                    yield f'{path}.{key}', value
            elif key not in ('backbone', 'data_preprocessor'):
                yield from _find(value, f'{path}.{key}')
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _find(value, f'{path}.{index}')
