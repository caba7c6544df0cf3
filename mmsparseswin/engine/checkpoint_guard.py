"""Hook that refuses a checkpoint that does not fit; mmengine would go on with random weights."""

import warnings
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner

from mmsparseswin.checkpoints.training_files import load_or_refuse
from mmsparseswin.engine.resume_check import check_training_state
from mmsparseswin.engine.safe_reader import install_safe_reader
from mmsparseswin.registry import HOOKS


@HOOKS.register_module()
class CheckpointGuardHook(Hook):
    """Report how a loaded checkpoint fits the model and refuse one that does not.

    Args:
        strict: every tensor of the model must come from the checkpoint (to test, to resume). Otherwise (`load_from`, to
            fine-tune) a head with other classes may differ, but something must match, and something of the backbone if
            the checkpoint has one.
        resume: the checkpoint must hold the state of a training run, too.
        trust: leave mmengine's own loading, which runs code that a checkpoint may hold.
    """

    priority = 'VERY_LOW'  # after EMAHook has put the averaged weights in place

    def __init__(self, strict: bool = False, resume: bool = False, trust: bool = False) -> None:
        self.strict = strict
        self.resume = resume
        self.trust = trust

    def before_run(self, runner: Runner) -> None:
        """Read checkpoints safely from now on, those of ``init_cfg`` among them."""
        if not self.trust:
            install_safe_reader()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Check `checkpoint`, which the runner is about to load.

        Raises:
            InputError: it holds no weights, those of another architecture, or no training state to resume.
        """
        if self.resume:
            check_training_state(checkpoint, runner)
        # Of a sharded model its outline, which has all names and shapes; the strategy loads the weights afterwards.
        model = getattr(getattr(runner, 'strategy', None), 'outline', runner.model)
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', '.*to a meta parameter.* which is a no-op')
            report = load_or_refuse(model, checkpoint, self.strict)
        print_log(f'Checkpoint: {report}', logger='current')
