"""Check a COCO annotation file: type and meaning of every field, with repairs where the right value is certain."""
