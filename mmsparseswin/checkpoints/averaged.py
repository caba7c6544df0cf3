"""Find the averaged weights (EMA, SWA) and the last ones of a checkpoint that holds both."""

from collections.abc import Mapping
from typing import Any

AVERAGED_KEYS = ('ema_state_dict', 'state_dict_ema', 'model_ema', 'ema_model', 'ema')
WEIGHT_KEYS = ('state_dict', 'model', 'model_state', 'model_state_dict', 'teacher', 'network', 'net', 'weights')


def averaged_key(content: Mapping[str, Any]) -> str | None:
    """Return the key of the averaged weights, or None if there are none."""
    return 'state_dict' if is_swapped(content) else _first(AVERAGED_KEYS, content)


def last_key(content: Mapping[str, Any]) -> str | None:
    """Return the key of the weights that the last step of training left, or None if weights are not under a key."""
    return 'ema_state_dict' if is_swapped(content) else stored_key(content)


def stored_key(content: Mapping[str, Any]) -> str | None:
    """Return the key of the weights that most programs load, or None if weights are not under a key."""
    return _first(WEIGHT_KEYS, content)


def is_swapped(content: Mapping[str, Any]) -> bool:
    """Return True for a checkpoint of mmengine's EMAHook: averaged weights are its `state_dict`, so that all load them.

    What is called ``ema_state_dict`` there are the last weights, named as an averaged model names them: ``module.`` and
    the counter ``steps`` (``EMAHook._swap_ema_state_dict``).
    """
    other = content.get('ema_state_dict')
    return isinstance(content.get('state_dict'), Mapping) and isinstance(other, Mapping) and 'steps' in other


def _first(keys: tuple[str, ...], content: Mapping[str, Any]) -> str | None:
    return next((key for key in keys if isinstance(content.get(key), Mapping)), None)
