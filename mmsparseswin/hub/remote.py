"""Get models from a hub or a folder and put them there, by huggingface_hub; nothing that comes from there is run."""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from mmsparseswin.errors import InputError
from mmsparseswin.hub.folders import CARD, Fetch, load_folder, save
from mmsparseswin.hub.model_config import CONFIG_FILE, ModelConfig, read_config

_REPO = r'[A-Za-z0-9][\w.-]*/[\w.-]+'


def from_pretrained(
    name: str | os.PathLike,
    *,
    revision: str | None = None,
    cache_dir: str | os.PathLike | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    **options: Any,
) -> nn.Module:
    """Build a model from a folder or a hub, and load its weights. No code that lies there is run.

    A folder or repository of :func:`save_pretrained` or `publish.py` gives back its backbone, detector or classifier.
    One of timm or transformers gives our model with the same outputs, if it is a Swin.

    Args:
        name: a folder, or 'org/name' on the hub that ``HF_ENDPOINT`` names (huggingface.co by default).
        revision: branch, tag or commit on the hub.
        cache_dir: where files of the hub are kept; default: huggingface_hub's place (``HF_HOME``).
        local_files_only: take what is in the cache and ask no hub, as ``HF_HUB_OFFLINE=1`` does for all.
        token: for private repositories; default: the one that `hf auth login` keeps.
        **options: of a bare backbone's class, instead of the saved ones: ``out_type='avg_featmap'``. What then fits of
            the weights is loaded and logged.

    Returns:
        the model in eval mode. A detector or classifier has ``dataset_meta`` with the names of its classes and ``cfg``,
        which mmdet's ``inference_detector`` takes.

    Raises:
        InputError: nothing there, a config with parts that are not known to be safe, weights that do not fit, or
            huggingface_hub is missing.
    """
    text = os.fspath(name)
    asked: dict[str, Any] = dict(revision=revision, cache_dir=cache_dir, local_files_only=local_files_only, token=token)
    return load_folder(find_files(text, asked), text, options)


def find_files(name: str, asked: dict[str, Any] | None = None) -> Fetch:
    """Return what finds a file of a folder or of a repository on the hub, by its name.

    Args:
        name: a folder, or 'org/name' on the hub.
        asked: arguments of ``hf_hub_download``; its revision becomes the commit of the first file that is found.

    Raises:
        InputError: no such folder, and no name on a hub; or a folder with a revision.
    """
    asked = {'revision': None, 'cache_dir': None} if asked is None else asked
    folder, revision = Path(name).expanduser(), asked['revision']
    if folder.is_dir():
        if revision is not None:
            raise InputError(f'{folder} is a folder, which has no revision {revision!r}')
        return lambda file: path if (path := folder / file).is_file() else None
    if not re.fullmatch(_REPO, name, re.ASCII):
        raise InputError(f'{name}: there is no such folder, and it is no name on a hub, as org/name is')

    def fetch(file: str) -> Path | None:
        hub = _hub()
        with _named_errors(name, revision):
            try:
                path = Path(hub.hf_hub_download(name, file, **asked))
                if re.fullmatch('[0-9a-f]{40}', path.parent.name):
                    asked['revision'] = path.parent.name  # the other files come from the same commit
                return path
            except hub.errors.LocalEntryNotFoundError:
                # Offline nobody knows if the repository has such a file: it is absent if others are there.
                if _in_cache(hub, name, asked):
                    return None
                raise
            except hub.errors.EntryNotFoundError:
                return None

    return fetch


def push_to_hub(
    model: nn.Module | str | os.PathLike,
    repo_id: str,
    *,
    config: Mapping[str, Any] | None = None,
    private: bool = False,
    revision: str | None = None,
    token: str | bool | None = None,
    commit_message: str = 'Upload by MMSparseSwin',
    license: str | None = None,
) -> str:
    """Put a model on the hub as one commit: config.json, weights, and README.md where there is none.

    Args:
        model: what :func:`save_pretrained` takes, or a folder that it or `publish.py` wrote. Of a folder its README.md
            replaces the one on the hub, and files that its config.json does not name stay at home.
        repo_id: 'org/name'; made if it is missing.
        config: see :func:`save_pretrained`.
        private: make it private, if it is made.
        revision: branch to commit to, by default main.
        token: with the right to write; default: the one that `hf auth login` keeps.
        commit_message: subject of the commit.
        license: see :func:`save_pretrained`.

    Returns:
        the URL of the commit.

    Raises:
        InputError: see :func:`save_pretrained`, or the hub refuses.
    """
    if not re.fullmatch(_REPO, repo_id, re.ASCII):
        raise InputError(f'{repo_id!r} is no name on a hub, as org/name is')
    hub = _hub()
    with tempfile.TemporaryDirectory() as scratch:
        if isinstance(model, nn.Module):
            folder = save(model, Path(scratch) / repo_id.split('/')[1], config, license, repo_id)
        else:
            folder = Path(model).expanduser()
        files = _files_of(folder)
        api = hub.HfApi(token=token)
        with _named_errors(repo_id, revision):
            api.create_repo(repo_id, private=private, exist_ok=True)
            if isinstance(model, nn.Module) and api.file_exists(repo_id, CARD, revision=revision):
                files.remove(CARD)  # somebody may have written it
            commit = api.upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                allow_patterns=files,
                commit_message=commit_message,
                revision=revision,
            )
    return commit.commit_url


def _files_of(folder: Path) -> list[str]:
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise InputError(f'{folder} has no {CONFIG_FILE}: name a folder that save_pretrained or publish.py wrote')
    content = read_config(path.read_bytes(), str(path))
    if not isinstance(content, ModelConfig):
        raise InputError(f'{path} is not of MMSparseSwin: name a folder that save_pretrained or publish.py wrote')
    if not (folder / content.weights).is_file():
        raise InputError(f'{folder} has no {content.weights}, which its {CONFIG_FILE} names')
    return [CONFIG_FILE, content.weights, *([CARD] if (folder / CARD).is_file() else [])]


def _hub() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError:
        raise InputError("a model hub needs huggingface_hub: pip install 'mmsparseswin[hub]'") from None
    return huggingface_hub


def _in_cache(hub: Any, repo: str, asked: Mapping[str, Any]) -> bool:
    """Return True if any file that a model may have is in the cache at this revision."""
    place = dict(cache_dir=asked['cache_dir'], revision=asked['revision'])
    return any(isinstance(hub.try_to_load_from_cache(repo, file, **place), str) for file in _SOME)


_SOME = (CONFIG_FILE, 'model.safetensors', 'pytorch_model.bin')


@contextmanager
def _named_errors(repo: str, revision: str | None) -> Iterator[None]:
    """Turn what huggingface_hub raises into one line."""
    errors = _hub().errors
    try:
        yield
    except errors.GatedRepoError as error:
        raise InputError(
            f'{repo} is open to those who ask for it on its page: ask there, then `hf auth login`'
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(f'{repo} is not on the hub, or private: look at the name, or `hf auth login`') from error
    except errors.RevisionNotFoundError as error:
        raise InputError(f'{repo} has no revision {revision!r}') from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise InputError(
            f'{repo} is not in the cache, and the hub is silent or not asked (HF_HUB_OFFLINE, local_files_only)'
        ) from error
    except errors.HfHubHTTPError as error:
        raise InputError(f'the hub refuses {repo}: {str(error).strip().splitlines()[0]}') from error
    except (OSError, ValueError) as error:  # no connection is an OSError
        if isinstance(error, InputError):
            raise
        raise InputError(f'{repo}: {type(error).__name__}: {str(error).strip().splitlines()[0][:200]}') from error
