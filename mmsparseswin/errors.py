"""The one exception that tools print as a single line instead of a traceback."""

from collections.abc import Iterable
from typing import Any

_LONGEST = 120  # letters of one item in a message


class InputError(ValueError):
    """What the user gave cannot work; the message names it and says what to do."""


def few(items: Iterable[Any]) -> str:
    """Return the first five of `items` in words, long ones cut off, and how many there are."""
    items = list(items)
    return ', '.join(str(item)[:_LONGEST] for item in items[:5]) + (
        f', ... ({len(items)} in all)' if len(items) > 5 else ''
    )
