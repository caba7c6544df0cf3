"""Write weights as .pth or .safetensors."""

import os
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from mmsparseswin.errors import InputError


def write_weights(state_dict: Mapping[str, Tensor], path: str | os.PathLike, meta: Mapping[str, str]) -> None:
    """Write ``state_dict`` and a few words about it in the format that the suffix names.

    A .pth is what mmengine's ``load_checkpoint`` takes: ``dict(meta=..., state_dict=...)``. The file appears at once,
    whole, and may replace the one the tensors were read from.

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
            torch.save({'meta': dict(meta), 'state_dict': own}, partial)
        else:
            partial.touch()
            mode = partial.stat().st_mode
            whole = {name: t.contiguous() for name, t in state_dict.items()}
            safetensors.torch.save_file(whole, partial, metadata={'format': 'pt', **meta})
            partial.chmod(mode)  # safetensors makes files that only their owner can read
        os.replace(partial, path)
    except (OSError, RuntimeError, safetensors.SafetensorError) as e:
        raise InputError(f'{path} cannot be written: {e}') from e
    finally:
        partial.unlink(missing_ok=True)


def _owns_storage(t: Tensor) -> bool:
    return t.untyped_storage().nbytes() == t.numel() * t.element_size()
