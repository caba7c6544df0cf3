"""Draw pictures of a test run."""

from collections.abc import Sequence

from mmdet.engine.hooks import DetVisualizationHook
from mmdet.structures import DetDataSample
from mmengine.runner import Runner

from mmsparseswin.registry import HOOKS


@HOOKS.register_module()
class DetPicturesHook(DetVisualizationHook):
    """Draw one of `interval` images in tests too; mmdet's hook uses `interval` in validation only."""

    _seen = 0

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[DetDataSample]
    ) -> None:
        """Draw the due images of one batch."""
        due = [sample for index, sample in enumerate(outputs, self._seen) if index % self.interval == 0]
        self._seen += len(outputs)
        super().after_test_iter(runner, batch_idx, data_batch, due)
