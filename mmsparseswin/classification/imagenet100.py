"""Read ImageNet100: a hundred classes of ImageNet-1k, named by a list."""

import json
from pathlib import Path
from typing import Any

from mmpretrain.datasets import BaseDataset

from mmsparseswin.errors import InputError
from mmsparseswin.registry import DATASETS

_EXTENSIONS = {'.jpg', '.jpeg', '.png'}
_CLASSES = 100


@DATASETS.register_module()
class ImageNet100(BaseDataset):
    """Data set of a hundred classes of ImageNet-1k, numbered in the order of their WordNet ids.

    Which hundred is a matter of convention, and the list is not ours to give away: it is read from a file. The
    published numbers of SparseSwin belong to the split `ambityga/imagenet100` of Kaggle, whose folder holds the list as
    Labels.json (docs/models/sparse_swin.md, 'Recipe'). Images are looked for in all folders of ``data_root`` named
    ``split``, or ``split`` and a suffix as in that split (train.X1 ... train.X4, val.X), so it reads a whole
    ImageNet-1k as well.

    Args:
        data_root: folder that holds train/n01440764/*.JPEG and so on.
        split: 'train' or 'val'.
        class_file: the list, relative to ``data_root``: JSON ({'n01440764': 'tench', ...}, or a list), or text with one
            WordNet id per line, a name after it if you like.
        **options: those of mmpretrain's data sets.

    Raises:
        InputError: no list, not a hundred different ids in it, or a class without images.
    """

    def __init__(self, data_root: str, split: str = 'train', class_file: str = 'Labels.json', **options: Any) -> None:
        self.split = split
        self.names = read_class_list(Path(data_root).expanduser() / class_file)
        options.setdefault('metainfo', {'classes': tuple(self.names.values())})
        super().__init__(ann_file='', data_root=data_root, **options)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return path and label of every image."""
        root = Path(self.data_root).expanduser()
        folders = sorted(path for path in root.glob(f'{self.split}*') if path.is_dir())
        folders = [path for path in folders if path.name == self.split or path.name[len(self.split)] == '.']
        records = []
        for label, wnid in enumerate(self.names):
            files = [file for folder in folders for file in sorted((folder / wnid).glob('*'))]
            files = [file for file in files if file.suffix.lower() in _EXTENSIONS]
            if not files:
                raise InputError(
                    f'class {wnid} has no images: looked in {[str(path / wnid) for path in folders] or root}; '
                    'name the place of the data with --cfg-options data_root=DIR'
                )
            records += [{'img_path': str(file), 'gt_label': label} for file in files]
        return records


def read_class_list(path: Path) -> dict[str, str]:
    """Read WordNet ids and names, sorted by id; an id without a name is used as name.

    Raises:
        InputError: no such file, not readable as a list, or not a hundred different ids.
    """
    if not path.is_file():
        raise InputError(
            f'no list of the hundred classes at {path}: put the Labels.json of the split there, or a text file with '
            'one WordNet id per line, named by --cfg-options train_dataloader.dataset.class_file=FILE (and val_)'
        )
    text = path.read_text()
    try:
        if path.suffix == '.json':
            content = json.loads(text)
            pairs = list(content.items()) if isinstance(content, dict) else [(str(wnid), '') for wnid in content]
        else:
            lines = [line.strip().partition(' ') for line in text.splitlines() if line.strip()]
            pairs = [(wnid, name.strip()) for wnid, _, name in lines]
    except ValueError as error:
        raise InputError(f'{path} is not JSON: {error}') from None
    names = {wnid: name or wnid for wnid, name in sorted(pairs)}
    strange = [wnid for wnid in names if not (wnid[:1] == 'n' and wnid[1:].isdigit())]
    if strange:
        raise InputError(f'{path}: {strange[0]!r} is no WordNet id such as n01440764')
    if len(names) != _CLASSES or len(pairs) != _CLASSES:
        raise InputError(
            f'{path} lists {len(pairs)} classes, {len(names)} of them different; ImageNet100 has {_CLASSES}'
        )
    return names
