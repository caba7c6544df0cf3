"""Names of a model's classes: those its checkpoint was trained with, else those of its config's data set."""

import sys
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from mmengine.config import Config
from torch import nn

from mmsparseswin.errors import InputError, few


def class_names(cfg: Config, checkpoint: Mapping[str, Any], model: nn.Module, where: str) -> tuple[str, ...]:
    """Return the names of the classes of `model` by label.

    They are those of the checkpoint's ``meta``, because the model learnt them; of a file without them, such as a bare
    state dict, those of the config's data set. Where neither has any, numbers stand for them, which is said on stderr;
    so is a config whose names are others than the checkpoint's.

    Args:
        cfg: the config.
        checkpoint: what its file holds.
        model: the model, loaded.
        where: the checkpoint's file, for messages.

    Raises:
        InputError: the number of names is not the model's number of classes.
    """
    count = _count(model)
    learnt, configured = _names_of_meta(checkpoint), None
    if not learnt or len(learnt) == count:
        configured = _names_of_config(cfg)
    names = learnt or configured
    if not names:
        if count is None:
            raise InputError(f'neither {where} nor the data set of the config names the classes')
        print(
            f'neither {where} nor the config names the {count} classes: numbers from 0 stand for them', file=sys.stderr
        )
        return tuple(map(str, range(count)))
    if count is not None and len(names) != count:
        owner = where if learnt else 'the data set of the config'
        mend = (
            'use the config that it was trained with'
            if learnt
            else "name the model's own with test_dataloader.dataset.metainfo=dict(classes=(...))"
        )
        raise InputError(f'{owner} names {len(names)} classes ({few(names)}), and the model has {count}: {mend}')
    if learnt and configured and len(configured) == len(learnt) and configured != learnt:
        print(
            f'the names of {where} are used ({few(learnt)}); the data set of the config has others ({few(configured)})',
            file=sys.stderr,
        )
    return names


def _as_names(names: Any) -> tuple[str, ...] | None:
    """Return `names` as a tuple; a lone word is one name, which is what its owner meant."""
    if not names:
        return None
    return (names,) if isinstance(names, str) else tuple(map(str, names))


def _names_of_meta(checkpoint: Mapping[str, Any]) -> tuple[str, ...] | None:
    meta = checkpoint.get('meta')
    if not isinstance(meta, Mapping):
        return None
    dataset_meta = meta.get('dataset_meta')
    for holder in (dataset_meta, meta):  # mmengine's, and what mmdet 2 and mmcls wrote
        if isinstance(holder, Mapping):
            for key in ('classes', 'CLASSES'):
                if names := _as_names(holder.get(key)):
                    return names
    return None


def _names_of_config(cfg: Config) -> tuple[str, ...] | None:
    loader = cfg.get('test_dataloader')
    if not loader:
        return None
    if cfg.get('default_scope') == 'mmpretrain':
        from mmsparseswin.classification.folder_check import configured_classes  # only classifiers need mmpretrain

        return configured_classes(cfg)
    from mmdet.registry import DATASETS  # only detectors need mmdet

    dataset = DATASETS.build({**deepcopy(loader.dataset), 'lazy_init': True})
    return _as_names(dataset.metainfo.get('classes'))


def _count(model: nn.Module) -> int | None:
    """Return the number of classes that the heads of `model` have; None if they do not tell, or do not agree."""
    found = {
        module.num_classes
        for name, module in model.named_modules()
        if isinstance(getattr(module, 'num_classes', None), int)
        and not name.startswith('backbone')
        and not name.endswith('rpn_head')  # object or not
        and type(module).__name__ != 'FusedSemanticHead'
    }
    return found.pop() if len(found) == 1 else None
