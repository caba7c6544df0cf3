"""Hook that draws a sheet of pictures of every class."""

from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmsparseswin.generation.sheet import draw_sheet
from mmsparseswin.registry import HOOKS


@HOOKS.register_module()
class DrawnSheetHook(Hook):
    """After every evaluation, write drawn_N.png (N: iterations so far) with a row for each class into the work dir.

    Args:
        count: pictures of each class; the noise is the same every time.
    """

    def __init__(self, count: int = 10) -> None:
        self.count = count

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Draw."""
        self._draw(runner)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Draw."""
        self._draw(runner)

    def _draw(self, runner: Runner) -> None:
        if is_main_process():
            model = runner.model.module if is_model_wrapper(runner.model) else runner.model
            rows = model.draw_classes(range(model.unet.num_classes), self.count)
            path = Path(runner.work_dir) / f'drawn_{runner.iter}.png'
            draw_sheet(rows).save(path)
            runner.logger.info(f'pictures of every class: {path}')
