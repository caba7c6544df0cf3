"""Constant tables of indices and weights, made once for each set of arguments."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec('P')
T = TypeVar('T')


def table(maxsize: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function that makes tables from hashable arguments: cached, and constants to ``torch.compile``.

    They are made on the CPU, whatever device is the default, and outside inference mode, because training takes the
    cached tensors too. The function that is returned has ``cache_clear``.

    Args:
        maxsize: sets of arguments whose tables are kept.
    """

    def decorate(make: Callable[P, T]) -> Callable[P, T]:
        @lru_cache(maxsize)
        @torch.inference_mode(False)
        def cached(*args: Any, **kwargs: Any) -> tuple[T]:
            with torch.device('cpu'):
                return (make(*args, **kwargs),)  # in a tuple: torch.compile takes bare tensors of two sizes for one

        @torch.compiler.assume_constant_result
        def constant(*args: Any, **kwargs: Any) -> tuple[T]:
            return cached(*args, **kwargs)

        @wraps(make)
        def get(*args: P.args, **kwargs: P.kwargs) -> T:
            return constant(*args, **kwargs)[0]

        get.cache_clear = cached.cache_clear  # type: ignore[attr-defined]
        return get

    return decorate


def to_device(value: Any, device: torch.device) -> Any:
    """Return a table, or a tuple that holds tables at any depth, on ``device``."""
    if isinstance(value, tuple):
        parts = [to_device(part, device) for part in value]
        return type(value)(*parts) if hasattr(value, '_fields') else tuple(parts)
    return value.to(device) if isinstance(value, Tensor) else value
