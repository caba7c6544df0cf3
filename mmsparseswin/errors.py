"""The one exception that tools print as a single line instead of a traceback."""


class InputError(ValueError):
    """What the user gave cannot work; the message names it and says what to do."""
