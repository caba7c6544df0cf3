"""Collect the errors, repairs and remarks of the check of one annotation file."""

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

_MOST = 100  # records that one finding points to; verdicts are cached as files


class Marked(Struct):
    """Records that one finding is about."""

    text: str  # of the finding, without the file's name
    section: str  # 'annotations' or 'images'
    indices: list[int]  # places in this list of the file, the first hundred


class Findings:
    """Findings about the annotation file `path`; repairs are collected as changes of single fields.

    Attributes:
        errors: one line each; the file cannot be used.
        notes: one line each: what was repaired, and what is odd but usable.
        marked: the records that errors and notes are about, where these are single ones.
        fields: section -> index of the record -> the new values of its fields.
        category_order: indices of the categories to keep, in their new order; None to keep all.
        rewrite: a repaired copy is needed.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.errors: list[str] = []
        self.notes: list[str] = []
        self.marked: list[Marked] = []
        self.fields: dict[str, dict[int, dict[str, Any]]] = {}
        self.category_order: list[int] | None = None
        self.rewrite = False

    def refuse(self, text: str, about: Iterable[int] = (), section: str = 'annotations') -> None:
        """Add an error about the records number `about` of `section`."""
        self._mark(text, about, section)
        self.errors.append(f'annotation file {self.path}: {text}')

    def remark(self, text: str, about: Iterable[int] = (), section: str = 'annotations') -> None:
        """Add a remark about the records number `about` of `section`."""
        self._mark(text, about, section)
        self.notes.append(f'annotation file {self.path}: {text}')

    def repaired(self, text: str, about: Iterable[int] = (), section: str = 'annotations') -> None:
        """Add a line about a repair of the records number `about` of `section`."""
        self.rewrite = True
        self.remark(f'{text} (repaired in a copy)', about, section)

    def _mark(self, text: str, about: Iterable[int], section: str) -> None:
        if indices := [int(index) for index in about][:_MOST]:
            self.marked.append(Marked(text, section, indices))

    def change(self, section: str, index: int, **fields: Any) -> None:
        """Set fields of one record to new values in the repaired copy."""
        self.fields.setdefault(section, {}).setdefault(index, {}).update(fields)

    def apply(self, content: dict[str, Any]) -> dict[str, Any]:
        """Return `content`, the file as parsed by the json module, with all repairs; it is changed in place."""
        for section, records in self.fields.items():
            for index, fields in records.items():
                content[section][index].update(fields)
        if self.category_order is not None:
            content['categories'] = [content['categories'][index] for index in self.category_order]
        return content
