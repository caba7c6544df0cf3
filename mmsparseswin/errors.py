"""Define the exception that tools print as one line instead of a traceback."""

from collections.abc import Iterable
from typing import Any

_LONGEST = 120  # characters of one item in a message


class InputError(ValueError):
    """Wrong input of the user; the message names it and says what to do."""


def few(items: Iterable[Any]) -> str:
    """Return the first five of `items` as text, long ones shortened, and the number of all."""
    items = list(items)
    return ', '.join(str(item)[:_LONGEST] for item in items[:5]) + (
        f', ... ({len(items)} in all)' if len(items) > 5 else ''
    )
