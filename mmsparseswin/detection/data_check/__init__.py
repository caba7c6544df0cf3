"""Checks of one COCO annotation file: every field's type and meaning, repairs where the right value is certain."""
