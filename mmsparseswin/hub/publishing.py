"""Publish the weights of a checkpoint: no optimizer, a checksum in the name, and facts about them as data."""

import os
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from mmsparseswin import __version__
from mmsparseswin.checkpoints.averaged import averaged_key, last_key, stored_key
from mmsparseswin.checkpoints.metadata import META_KEY, to_json
from mmsparseswin.checkpoints.writing import write_weights
from mmsparseswin.checksums import sha256_of
from mmsparseswin.errors import InputError

# What a config says about one machine and one run; it is not published.
_OF_A_RUN = ('work_dir', 'load_from', 'resume', 'launcher', 'log_level', 'experiment_name')


class Chosen(NamedTuple):
    """Weights of a checkpoint, and which of those it holds: 'averaged', 'last' or 'only'."""

    state: dict[str, Tensor]
    kind: str


def choose_weights(content: Mapping[str, Any], last: bool, where: str) -> Chosen:
    """Return the averaged weights of a checkpoint that has them, else its only ones.

    Args:
        content: what the file holds.
        last: return the weights after the last step of training instead of the averaged ones.
        where: the file, for messages.

    Raises:
        InputError: `last` of a file that has no averaged weights beside, or no weights.
    """
    averaged = averaged_key(content)
    if last and averaged is None:
        raise InputError(f'{where} has no averaged weights beside the last ones: leave --last out')
    key = averaged or stored_key(content)
    if last:
        key = last_key(content)
    found = content if key is None else content[key]
    # the prefix and the counter of an averaged model
    state = {name.removeprefix('module.'): value for name, value in found.items() if isinstance(value, Tensor)}
    state.pop('steps', None)
    if not state:
        raise InputError(f'{where} holds no weights; save model.state_dict()')
    return Chosen(state, 'only' if averaged is None else 'last' if last else 'averaged')


def training_facts(content: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return what a checkpoint says about its training: epoch, iterations, seed, command, versions."""
    meta = content.get('meta')
    meta = meta if isinstance(meta, Mapping) else {}
    facts: dict[str, Any] = {'weights': kind}
    for name, kinds in (('epoch', int), ('iter', int), ('seed', int), ('command', str), ('mmengine_version', str)):
        if type(meta.get(name)) is kinds:
            facts[name] = meta[name]
    return facts


def public_config(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config without what belongs to one machine and run (work_dir, load_from and the like).

    Raises:
        InputError: it holds what is no data; the entry is named.
    """
    config = {name: value for name, value in cfg.items() if name not in _OF_A_RUN}
    to_json(config, 'the config')
    return config


def write_published(
    state: Mapping[str, Tensor], folder: Path, name: str, suffix: str, meta: Mapping[str, Any]
) -> tuple[Path, str]:
    """Write ``folder/NAME-<first 8 digits of its SHA-256><suffix>`` whole or not at all.

    The same input makes the same file.

    Args:
        state: the weights.
        folder: made if it is missing.
        name: letters, digits, '.', '_' and '-'.
        suffix: '.safetensors' or '.pth'.
        meta: facts, see :data:`mmsparseswin.checkpoints.metadata.META_NAMES`.

    Returns:
        The file and its whole SHA-256.

    Raises:
        InputError: a name or suffix that cannot be, or the folder cannot be written.
    """
    if not re.fullmatch(r'\w[\w.-]*', name, re.ASCII):
        raise InputError(f'name {name!r}: letters, digits, ".", "_" and "-" alone make names that all systems take')
    meta = {**meta, 'mmsparseswin_version': __version__}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'{folder} cannot be made: {error.strerror}') from error
    partial = folder / f'.{name}.{uuid.uuid4().hex}{suffix}'
    try:
        # One key alone: safetensors writes several in any order, and the checksum would change.
        write_weights(state, partial, {META_KEY: to_json(meta, 'meta')} if suffix == '.safetensors' else meta)
        digest = sha256_of(partial)
        path = folder / f'{name}-{digest[:8]}{suffix}'
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path, digest
