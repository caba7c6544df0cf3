"""Choose the models of a command line, before torch is imported."""

from collections.abc import Sequence
from pathlib import Path

from mmsparseswin.errors import InputError

QUICKSTART = Path('work_dirs/quickstart')
_CONFIGS = ('.py', '.json', '.yaml', '.yml')


def chosen_models(names: Sequence[str]) -> list[tuple[str, str | None]]:
    """Return (config, weights) of each model of a command line, (weights, None) of one that carries its config.

    Args:
        names: CONFIG CHECKPOINT ..., or weights; none takes what the quickstart trained in the working folder.

    Raises:
        InputError: a config without weights, or no quickstart's model here.
    """
    if not names:
        mark = QUICKSTART / 'last_checkpoint'
        weights = mark.read_text().strip() if mark.is_file() else ''
        if not Path(weights).is_file():
            raise InputError(
                f'no model: give CONFIG CHECKPOINT, or train one here by `mmsparseswin quickstart`, which takes ten '
                f'minutes (looked for {mark})'
            )
        return [(str(QUICKSTART / 'cascade_sparseswin_shapes.py'), weights)]
    found: list[tuple[str, str | None]] = []
    left = list(names)
    while left:
        name = left.pop(0)
        if '::' not in name and Path(name).suffix not in _CONFIGS:
            found.append((name, None))
        elif left:
            found.append((name, left.pop(0)))
        else:
            raise InputError(f'{name} has no checkpoint behind it: give CONFIG CHECKPOINT for each model')
    return found
