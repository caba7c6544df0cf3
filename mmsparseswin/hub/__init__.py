"""Hand weights on: a published file with its model card."""
