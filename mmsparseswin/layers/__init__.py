"""Windows, attention and sparse tokens. Nothing here knows more than torch."""
