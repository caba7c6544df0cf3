"""Check the data of a classifier before training or testing: class folders, lists of files, numbers of classes.

mmpretrain numbers the folders below a data set in the order of their names, hidden ones included, whatever the order of
the config's classes and whichever folders training saw. Where that would give a wrong label and the right one is
certain, a list of files with the right labels is written and the data set is pointed to it.
"""

import codecs
import contextlib
import inspect
import os
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope
from mmpretrain.datasets import CustomDataset
from mmpretrain.registry import DATASETS

from mmsparseswin.atomic_files import write_atomically
from mmsparseswin.data_files import missing_files
from mmsparseswin.errors import InputError, few
from mmsparseswin.image_headers import read_header

# Folders that notebooks, archivers and storage systems leave behind; names with a dot are ignored anyway.
_NO_CLASSES = {'__MACOSX', '__pycache__', '@eaDir', 'lost+found', '$RECYCLE.BIN', 'System Volume Information'}
_LOOKED_AT = 200  # number of pictures whose header is read


def check_classifier(cfg: Config, splits: Sequence[str], repair_dir: str | None = None) -> list[str]:
    """Check the data sets of the data loaders ``<split>_dataloader`` and the model's numbers of classes.

    Args:
        cfg: an mmpretrain config; data sets with wrong labels are pointed to a list with the right ones.
        splits: the data loaders to check.
        repair_dir: folder for these lists; without one, `cfg` stays as it is.

    Returns:
        Notes, one line each: what was repaired, and what is odd.

    Raises:
        InputError: one line that names the faults to repair.
    """
    notes: list[str] = []
    known: tuple[str, ...] | None = None  # class folders of the training set
    for split in dict.fromkeys(['train', *splits]):
        loader = cfg.get(f'{split}_dataloader')
        for option, dataset in _leaves(loader.dataset, f'{split}_dataloader.dataset') if loader else ():
            kind = _dataset_class(dataset, cfg)
            if kind is None or dataset.get('with_label') is False:
                continue
            if split not in splits:  # in a test the training set, if present, only gives the classes
                folders = _Folders(dataset, option, kind, repair_dir)
                known = known or (folders.classes_of_folders() if folders.exist() else None)
                continue
            data = _Folders(dataset, option, kind, repair_dir)
            classes = data.check(known, notes)
            known = known or (classes if split == 'train' else None)
            if classes:
                _check_num_classes(cfg, classes, option)
    return notes


def configured_classes(cfg: Config) -> tuple[str, ...] | None:
    """Return the names of the classes of `cfg` by label: those it or its kind of data set names, else the folders'.

    The training set comes first, for a test set may lack a class. Data that is not there gives no names.
    """
    for split in ('train', 'test'):
        loader = cfg.get(f'{split}_dataloader')
        for option, dataset in _leaves(deepcopy(loader.dataset), '') if loader else ():
            kind = _dataset_class(dataset, cfg)
            own = _Folders(dataset, f'{split}_dataloader.dataset{option}', kind or _registered(dataset), None)
            names: Any = own.named
            if not names and kind is not None:
                names = own.classes_of_folders() if own.exist() else None
            elif not names:
                with contextlib.suppress(InputError):  # its data is not there
                    names = DATASETS.build({**dataset, 'lazy_init': True}).metainfo.get('classes')
            if names:
                return tuple(names)
    return None


def _leaves(dataset: Any, option: str) -> Iterator[tuple[str, Any]]:
    for name in ('dataset', 'datasets'):
        if name in dataset:
            parts = dataset[name] if isinstance(dataset[name], (list, tuple)) else [dataset[name]]
            for index, part in enumerate(parts):
                yield from _leaves(part, f'{option}.{name}' + (f'.{index}' if len(parts) > 1 else ''))
            return
    yield option, dataset


def _dataset_class(dataset: dict[str, Any], cfg: Config) -> type[CustomDataset] | None:
    if DefaultScope.get_current_instance() is None:
        init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    kind = _registered(dataset)
    if not inspect.isclass(kind) or not issubclass(kind, CustomDataset):
        return None
    return kind if kind.load_data_list is CustomDataset.load_data_list else None


def _registered(dataset: dict[str, Any]) -> Any:
    kind = dataset.get('type')
    return DATASETS.get(kind) if isinstance(kind, str) else kind


class _Folders:
    """Data set that reads class folders or a list of files."""

    def __init__(self, dataset: Any, option: str, kind: Any, repair_dir: str | None) -> None:
        self.dataset, self.option, self.repair_dir = dataset, option, repair_dir
        root, prefix, split = dataset.get('data_root') or '', dataset.get('data_prefix') or '', dataset.get('split')
        prefix = prefix.get('img_path', '') if isinstance(prefix, dict) else prefix
        self.folder = os.path.join(root, prefix or split or '')
        self.list = dataset.get('ann_file') or ''
        if split and not self.list and os.path.isfile(os.path.join(root, 'meta', f'{split}.txt')):
            self.list = os.path.join('meta', f'{split}.txt')  # the default of mmpretrain's ImageNet
        self.list = self.list and os.path.join(root, self.list)
        self.extensions = tuple(dataset.get('extensions') or getattr(kind, 'IMG_EXTENSIONS', ())) or (
            *('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif'),
        )
        self.named = self._named_classes(kind)

    def _named_classes(self, kind: Any) -> tuple[str, ...] | None:
        """Return the classes that the config or the kind of data set names."""
        metainfo = self.dataset.get('metainfo') or {}
        classes = self.dataset.get('classes') or metainfo.get('classes') or getattr(kind, 'METAINFO', {}).get('classes')
        if isinstance(classes, str):
            if not os.path.isfile(classes):
                raise InputError(f'{self.option}: classes is {classes!r}, no file of names; write a tuple of names')
            with open(classes, encoding='utf-8-sig') as file:
                classes = [name for line in file if (name := line.strip())]
            # mmpretrain would keep a byte order mark and a last empty line.
            self.dataset.pop('classes', None)
            self.dataset['metainfo'] = {**metainfo, 'classes': tuple(classes)}
        return tuple(classes) if classes else None

    def exist(self) -> bool:
        """Return True if the folder is there and its subfolders are the classes."""
        return not self.list and os.path.isdir(self.folder)

    def _subfolders(self) -> list[str]:
        with os.scandir(self.folder or '.') as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())

    def classes_of_folders(self) -> tuple[str, ...]:
        """Return the names of the class folders, without hidden ones."""
        return tuple(name for name in self._subfolders() if not name.startswith('.') and name not in _NO_CLASSES)

    def check(self, known: tuple[str, ...] | None, notes: list[str]) -> tuple[str, ...]:
        """Check the data set, repair its labels, and return its classes by label.

        Args:
            known: the class folders of the training data, if those are folders.
            notes: gets a line for each repair.
        """
        if not os.path.isdir(self.folder or '.'):
            raise InputError(f'{self.option}: no folder {self.folder}; name it with --cfg-options data_root=DIR')
        return self._check_list(notes) if self.list else self._check_folders(known, notes)

    def _check_folders(self, known: tuple[str, ...] | None, notes: list[str]) -> tuple[str, ...]:
        everything, found = self._subfolders(), self.classes_of_folders()
        hidden = [name for name in everything if name not in found]
        aside = f' (hidden folders are no classes: {few(hidden)})' if hidden else ''
        if not found:
            raise InputError(
                f'{self.option}: {self.folder} holds no class folders, one per class with its pictures{aside}'
            )
        self._check_depth(found, notes)
        labels = self._labels(found, known, aside)
        classes = self.named if self.named and len(self.named) == len(labels) else tuple(labels)
        if [labels[name] for name in found] != list(range(len(found))) or hidden or len(found) < len(labels):
            reason = (
                f'hidden folders {few(hidden)} are no classes' if hidden else 'labels follow the names of the classes'
            )
            self._write_list(labels, found, classes, reason, notes)
        return classes

    def _labels(self, found: tuple[str, ...], known: tuple[str, ...] | None, aside: str) -> dict[str, int]:
        """Return the label of each folder."""
        for names, whose in (
            (self.named, 'the classes of the config'),
            (known, 'the class folders of the training data'),
        ):
            if not names:
                continue
            if set(found) <= set(names):
                return {name: label for label, name in enumerate(names)}
            if names is known or len(names) != len(found):
                strange = [name for name in found if name not in names]
                raise InputError(
                    f'{self.option}: {self.folder} has {len(found)} class folders ({few(found)}){aside}, which do not '
                    f'match {whose}, {len(names)} ({few(names)}): {few(strange)}; rename folders or classes'
                )
            break  # equal numbers: the folders of mmpretrain's ImageNet differ from its class names
        return {name: label for label, name in enumerate(found)}

    def _pictures(self, name: str) -> Iterator[str]:
        for place, folders, files in os.walk(os.path.join(self.folder, name)):
            folders[:] = sorted(folder for folder in folders if not folder.startswith('.'))
            for file in sorted(files):
                if file.lower().endswith(self.extensions) and not file.startswith('.'):
                    yield os.path.relpath(os.path.join(place, file), self.folder)

    def _check_depth(self, found: tuple[str, ...], notes: list[str]) -> None:
        firsts = [name for folder in found[:_LOOKED_AT] if (name := next(self._pictures(folder), None))]
        if len(firsts) < len(found[:_LOOKED_AT]):
            filled = {name.split(os.sep)[0] for name in firsts}
            empty = [name for name in found[:_LOOKED_AT] if name not in filled]
            notes.append(f'{self.option}: no pictures in the class folders {few(empty)} of {self.folder}')
        headers = ((name, read_header(os.path.join(self.folder, name))) for name in firsts)
        if deep := [name for name, header in headers if header and header.deep]:
            notes.append(
                f'{self.option}: images of {self.folder} have 16 bits or more a channel ({few(deep)}): read as '
                '8 bits by dropping the low ones; if they look nearly black then, scale them to 8 bits first'
            )

    def _write_list(
        self, labels: dict[str, int], found: tuple[str, ...], classes: tuple[str, ...], reason: str, notes: list[str]
    ) -> None:
        lines = [f'{path} {labels[name]}' for name in found for path in self._pictures(name)]
        if not lines:
            raise InputError(
                f'{self.option}: no pictures ({" ".join(self.extensions)}) in the class folders of {self.folder}'
            )
        self._point_to(lines, classes)
        notes.append(
            f'{self.option}: {self.folder}: {reason}; its {len(found)} classes are {few(found)} (repaired in a list)'
        )

    def _point_to(self, lines: list[str], classes: tuple[str, ...] | None) -> None:
        if self.repair_dir is None:
            return
        path = os.path.join(
            os.path.abspath(self.repair_dir), f'{self.option.replace("dataloader.dataset", "list")}.txt'
        )
        write_atomically(path, ('\n'.join(lines) + '\n').encode())
        self.dataset['ann_file'] = path
        if classes:
            self.dataset['metainfo'] = {**(self.dataset.get('metainfo') or {}), 'classes': tuple(classes)}

    def _check_list(self, notes: list[str]) -> tuple[str, ...]:
        """Check a list of files with their labels, one ``path label`` a line."""
        if not os.path.isfile(self.list):
            raise InputError(
                f'{self.option}: no list of files {self.list}; name it with --cfg-options {self.option}.ann_file=FILE'
            )
        data = Path(self.list).read_bytes()
        try:
            text = data.decode('utf-8-sig')
        except UnicodeDecodeError as error:
            raise InputError(
                f'{self.list} is not UTF-8 text ({error.reason} at byte {error.start}); save it as such'
            ) from None
        lines = [line.strip() for line in text.splitlines()]
        count = len(self.named) if self.named else None
        names = []
        for number, line in enumerate(lines, 1):
            name, _, label = line.rpartition(' ')
            if line and not (name and label.isdecimal() and (count is None or int(label) < count)):
                upto = f' below {count}, the number of classes' if count else ''
                raise InputError(
                    f'{self.list}, line {number}: {line[:80]!r} is not a file and its label, a number{upto}'
                )
            names.append(name.strip())
        if missing := missing_files([name for name in names if name], self.folder):
            raise InputError(
                f'{self.option}: {len(missing)} of the {len(names)} images of {self.list} are not in '
                f'{self.folder or "."}: '
                f'{few(missing)}; see {self.option}.data_prefix'
            )
        filled = [line for line in lines if line]
        if not filled:
            raise InputError(f'{self.option}: the list {self.list} is empty')
        if len(filled) < len(lines) or data.startswith(codecs.BOM_UTF8):
            self._point_to(filled, self.named)
            notes.append(
                f'{self.option}: {self.list}: empty lines and the byte order mark are left out (repaired in a list)'
            )
        return self.named or ()


def _check_num_classes(cfg: Config, classes: tuple[str, ...], option: str) -> None:
    places = {'model.head': cfg.model.get('head'), 'model.data_preprocessor': cfg.model.get('data_preprocessor')}
    places['data_preprocessor'] = cfg.get('data_preprocessor')
    for place, node in places.items():
        number = node.get('num_classes') if isinstance(node, dict) else None
        if isinstance(number, int) and number != len(classes):
            raise InputError(
                f'{place}.num_classes={number}, but {option} has {len(classes)} classes ({few(classes)}); set one to '
                'fit the other'
            )
