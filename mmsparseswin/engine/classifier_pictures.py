"""Hook that draws a classifier's training curves and confusion matrix."""

from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmsparseswin.engine.confusion_matrix import ConfusionMatrix
from mmsparseswin.engine.training_curves import draw_curves, read_scalars
from mmsparseswin.registry import HOOKS


@HOOKS.register_module()
class ClassifierPicturesHook(Hook):
    """After every evaluation: confusion_matrix.{json,png} and, in training, curve.png in the work dir.

    The matrix needs ``mmsparseswin.ConfusionMatrix`` among the evaluators.
    """

    priority = 'LOWEST'  # after LoggerHook has written the scalars

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Draw the matrix and the curves so far."""
        if not is_main_process():
            return
        self._write_matrix(runner, runner.val_evaluator)
        records = read_scalars(runner.work_dir)
        if records:
            draw_curves({Path(runner.work_dir).name: records}).savefig(Path(runner.work_dir) / 'curve.png', dpi=100)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Draw the matrix."""
        if is_main_process():
            self._write_matrix(runner, runner.test_evaluator)

    def _write_matrix(self, runner: Runner, evaluator: Evaluator) -> None:
        for metric in evaluator.metrics:
            if isinstance(metric, ConfusionMatrix) and metric.matrix is not None:
                metric.write(Path(runner.work_dir))
                runner.logger.info(f'confusion matrix: {runner.work_dir}/confusion_matrix.png')
