"""Hook that writes the findings of the data check into the run's log."""

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmsparseswin.registry import HOOKS


@HOOKS.register_module()
class DataNotesHook(Hook):
    """Log `notes` once, before the run starts: repairs of the data, and what is odd about it."""

    def __init__(self, notes: Sequence[str]) -> None:
        self.notes = list(notes)

    def before_run(self, runner: Runner) -> None:
        """Log them."""
        for note in self.notes:
            runner.logger.warning(f'data: {note}')
