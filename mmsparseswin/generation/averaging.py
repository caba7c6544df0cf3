"""Hook that keeps the averaged weights of a model up to date."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmsparseswin.registry import HOOKS


@HOOKS.register_module()
class AverageWeightsHook(Hook):
    """Call ``update_average`` of the model after every training iteration."""

    priority = 'VERY_HIGH'  # before checkpoints are written

    def before_train(self, runner: Runner) -> None:
        """Tell the model that somebody updates its average."""
        self._model(runner).updates_average = True

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Update."""
        self._model(runner).update_average()

    @staticmethod
    def _model(runner: Runner) -> Any:
        return runner.model.module if is_model_wrapper(runner.model) else runner.model
