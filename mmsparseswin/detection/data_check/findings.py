"""Collect the errors, repairs and remarks of the check of one annotation file."""

from typing import Any


class Findings:
    """Findings about the annotation file `path`; repairs are collected as changes of single fields.

    Attributes:
        errors: one line each; the file cannot be used.
        notes: one line each: what was repaired, and what is odd but usable.
        fields: section -> index of the record -> the new values of its fields.
        category_order: indices of the categories to keep, in their new order; None to keep all.
        rewrite: a repaired copy is needed.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.errors: list[str] = []
        self.notes: list[str] = []
        self.fields: dict[str, dict[int, dict[str, Any]]] = {}
        self.category_order: list[int] | None = None
        self.rewrite = False

    def refuse(self, text: str) -> None:
        """Add an error."""
        self.errors.append(f'annotation file {self.path}: {text}')

    def remark(self, text: str) -> None:
        """Add a remark."""
        self.notes.append(f'annotation file {self.path}: {text}')

    def repaired(self, text: str) -> None:
        """Add a line about a repair."""
        self.rewrite = True
        self.remark(f'{text} (repaired in a copy)')

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
