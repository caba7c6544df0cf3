"""Collect the faults of label files, each with its file and line, so that a user sees all of them at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmsparseswin.errors import InputError

_SHOWN = 5


class LabelError(ValueError):
    """LabelError of one label or picture; the message says what is wrong with it."""


class Problems:
    """Faults found so far, as lines ``FILE:LINE: what is wrong``."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, path: Path, line: int | None, text: str) -> None:
        """Note the fault `text` at `line` of the file `path`, or of the file as a whole."""
        self.lines.append(f'{path}:{line}: {text}' if line else f'{path}: {text}')

    @contextmanager
    def at(self, path: Path, line: int | None = None) -> Iterator[None]:
        """Note a :class:`LabelError` that is raised inside, and go on behind the block."""
        try:
            yield
        except LabelError as error:
            self.add(path, line, str(error))

    def refuse(self, remedy: str) -> None:
        """Raise the faults as one line that ends in `remedy`; return if there is none.

        Raises:
            InputError: there are faults; the line has the first five and the number of all.
        """
        if not self.lines:
            return
        more = f'; ... ({len(self.lines)} in all)' if len(self.lines) > _SHOWN else ''
        raise InputError(f'{"; ".join(self.lines[:_SHOWN])}{more}: {remedy}')
