"""Compare the categories of an annotation file with the classes of the detector.

mmdet and its metrics number the classes in the order of the file's categories, whatever the order of the config's
classes; the names that go into a checkpoint are those of the config.
"""

from collections import Counter

from mmsparseswin.detection.data_check.findings import Findings
from mmsparseswin.detection.data_check.schema import CocoFile
from mmsparseswin.errors import few


def check_categories(coco: CocoFile, classes: tuple[str, ...], option: str, findings: Findings) -> None:
    """Match the categories of `coco` with `classes` by name and bring them into their order.

    Args:
        coco: with checked ids; its categories get the new order.
        classes: the names that the detector learns, by label.
        option: where the config names the data set, for messages.
        findings: gets errors and repairs.
    """
    if twice := [name for name, count in Counter(classes).items() if count > 1]:
        findings.errors.append(f'{option}.metainfo.classes names {few(twice)} more than once; class names are unique')
        return
    _strip_names(coco, classes, findings)
    names = [category.name for category in coco.categories]
    if absent := [name for name in classes if name not in names]:
        findings.errors.append(
            f'{option}: the classes {few(absent)} are not among the categories {few(names)} of {findings.path}; set '
            f'{option}.metainfo.classes and the num_classes of the heads (without metainfo mmdet expects the 80 '
            'classes of COCO)'
        )
        return
    used = Counter(ann.category_id for ann in coco.annotations)
    dropped = _doubles(coco, classes, used, findings)
    place = {name: label for label, name in enumerate(classes)}
    kept = [index for index, category in enumerate(coco.categories) if index not in dropped]
    order = sorted(kept, key=lambda index: place.get(names[index], len(classes)))
    if order != kept and _is_shuffled([names[index] for index in kept], classes):
        findings.repaired(
            f'its categories come in another order ({few(names)}) than the classes of the config ({few(classes)}): '
            'labels follow the names'
        )
        findings.category_order = order
    elif dropped:
        findings.category_order = order = kept
    else:
        order = kept
    others = [coco.categories[index] for index in order if names[index] not in place]
    coco.categories = [coco.categories[index] for index in order]
    if unlearnt := sum(used[category.id] for category in others):
        findings.remark(
            f'{unlearnt} objects are of categories that are no classes of the config and are left out: '
            f'{few(category.name for category in others if used[category.id])}'
        )


def _is_shuffled(names: list[str], classes: tuple[str, ...]) -> bool:
    return [name for name in names if name in set(classes)] != list(classes)


def _strip_names(coco: CocoFile, classes: tuple[str, ...], findings: Findings) -> None:
    names = {category.name for category in coco.categories}
    for index, category in enumerate(coco.categories):
        bare = category.name.strip().removeprefix('\ufeff')
        if bare != category.name and category.name not in classes and bare in classes and bare not in names:
            findings.change('categories', index, name=bare)
            findings.repaired(f'the name {category.name[:80]!r} of category {category.id} is read as {bare!r}')
            category.name = bare


def _doubles(coco: CocoFile, classes: tuple[str, ...], used: Counter, findings: Findings) -> set[int]:
    """Return the indices of categories without objects that bear the name of a class beside the category in use."""
    dropped: set[int] = set()
    for name, count in Counter(category.name for category in coco.categories).items():
        if count == 1 or name not in classes:
            continue
        bearers = [index for index, category in enumerate(coco.categories) if category.name == name]
        ids = [coco.categories[index].id for index in bearers]
        busy = [index for index in bearers if used[coco.categories[index].id]]
        if len(busy) != 1:
            findings.refuse(
                f'the categories {few(ids)} are all named {name!r}; rename them, or give their objects one category_id'
            )
            continue
        empty = [index for index in bearers if index not in busy]
        dropped |= set(empty)
        findings.repaired(
            f'category {few(coco.categories[index].id for index in empty)} has the name {name!r} of category '
            f'{coco.categories[busy[0]].id} and no objects: left out'
        )
    return dropped
