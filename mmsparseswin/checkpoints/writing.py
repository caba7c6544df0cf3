"""Write weights as .pth or .safetensors."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from mmsparseswin.checkpoints.metadata import META_KEY
from mmsparseswin.errors import InputError


def write_weights(state_dict: Mapping[str, Tensor], path: str | os.PathLike, meta: Mapping[str, Any]) -> None:
    """Write ``state_dict`` and a few words about it in the format that the suffix names.

    A .pth is what mmengine's ``load_checkpoint`` takes: ``dict(meta=..., state_dict=...)``. A .safetensors takes words
    alone. The file appears at once, whole, and may replace the one the tensors were read from.

    Raises:
        InputError: another suffix, or the folder cannot be written.
    """
    path = Path(path)
    if path.suffix not in ('.pth', '.safetensors'):
        raise InputError(f'{path}: the suffix must be .pth or .safetensors')
    partial = path.with_name(f'{path.name}.{os.getpid()}.partial')
    try:
        if path.suffix == '.pth':
            # torch.save writes whole storages: a view of a larger one would carry all of it.
            own = {name: t if _owns_storage(t) else t.clone() for name, t in state_dict.items()}
            with open(partial, 'wb') as file:  # to a path, torch.save would write its name into the file, too
                torch.save({'meta': dict(meta), 'state_dict': own}, file)
        else:
            partial.touch()
            mode = partial.stat().st_mode
            safetensors.torch.save_file(_apart(state_dict), partial, metadata=_header(meta))
            partial.chmod(mode)  # safetensors makes files that only their owner can read
        os.replace(partial, path)
    except (OSError, RuntimeError, safetensors.SafetensorError) as e:
        raise InputError(f'{path} cannot be written: {e}') from e
    finally:
        partial.unlink(missing_ok=True)


def _header(meta: Mapping[str, str]) -> dict[str, str]:
    """Return what transformers wants to see; not with ours, as safetensors writes several keys in a random order."""
    return dict(meta) if META_KEY in meta else {'format': 'pt', **meta}


def _apart(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return dense copies of tensors that share memory with one before them, which safetensors does not write."""
    whole, seen = {}, set()
    for name, t in state_dict.items():
        t = t.contiguous()
        whole[name] = t.clone() if t.untyped_storage().data_ptr() in seen else t
        seen.add(t.untyped_storage().data_ptr())
    return whole


def _owns_storage(t: Tensor) -> bool:
    return t.untyped_storage().nbytes() == t.numel() * t.element_size()
