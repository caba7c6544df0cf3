"""Find a checkpoint: a file, or a URL that is downloaded once."""

import hashlib
import re
from pathlib import Path
from urllib.parse import unquote, urlparse

import torch

from mmsparseswin.checkpoints.archive import check_members
from mmsparseswin.errors import InputError

_HASH_IN_NAME = re.compile(r'-([0-9a-f]{8,64})\.')  # the habit of torchvision, mmdet and mmpretrain


def local_file(source: str) -> Path:
    """Return the file that a path or an http(s) or file URL names; what is downloaded is kept in torch.hub's cache.

    Raises:
        InputError: nothing there, a folder, or another scheme.
    """
    scheme = source.split('://', 1)[0] if '://' in source else ''
    if scheme in ('http', 'https'):
        return _download(source)
    if scheme == 'file':
        source = unquote(urlparse(source).path)
    elif scheme:
        raise InputError(f'{source}: only http://, https:// and files are read; give the full URL or download it')
    path = Path(source).expanduser()
    if path.is_dir():
        raise InputError(f'{path} is a folder; name the checkpoint file in it')
    if not path.is_file():
        raise InputError(f'checkpoint {path} does not exist')
    return path


def _download(url: str) -> Path:
    name = Path(unquote(urlparse(url).path)).name
    if not name:
        raise InputError(f'{url} names no file')
    promised = _HASH_IN_NAME.search(name)
    if not promised:  # many places have a model.safetensors: one cache entry for each
        name = f'{hashlib.sha256(url.split("?")[0].encode()).hexdigest()[:8]}_{name}'
    cached = Path(torch.hub.get_dir()) / 'checkpoints' / name
    if cached.is_file():
        return cached
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(cached), promised[1] if promised else None, progress=False)
        if first_bytes(cached).startswith(b'PK'):
            check_members(cached)
    except InputError:
        cached.unlink(missing_ok=True)  # a web page, or cut off: the next run must not take it from the cache
        raise
    except (OSError, ValueError, RuntimeError) as e:
        raise InputError(
            f'{url} could not be downloaded: {e}. Fetch it elsewhere and put it at {cached}, name another file '
            '(--cfg-options model.backbone.init_cfg.checkpoint=FILE), or start at random (model.backbone.init_cfg=None)'
        ) from e
    return cached


def first_bytes(path: Path) -> bytes:
    """Return the first 512 bytes.

    Raises:
        InputError: unreadable, empty, a web page or a git-lfs pointer.
    """
    try:
        with open(path, 'rb') as file:
            start = file.read(512)
    except OSError as e:
        raise InputError(f'{path} cannot be read: {e.strerror}') from e
    if not start:
        raise InputError(f'{path} is empty')
    if start.lstrip().lower().startswith((b'<!doctype', b'<html')):
        raise InputError(f'{path} is not a checkpoint but a web page: download the file itself')
    if start.startswith(b'version https://git-lfs'):
        raise InputError(f'{path} is a git-lfs pointer, not the checkpoint: run `git lfs pull`')
    return start
