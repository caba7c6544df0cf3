"""Save checkpoints so that a kill at any moment loses none: whole files only, the old one deleted last."""

import shlex
import sys
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmsparseswin.atomic_files import write_atomically
from mmsparseswin.checkpoints.cleaning import check_finite
from mmsparseswin.engine.divergence import kept
from mmsparseswin.errors import InputError
from mmsparseswin.registry import HOOKS


class AtomicLocalBackend(LocalBackend):
    """mmengine's local files, written beside their place and moved into it once they are on the disk."""

    def put(self, obj: bytes | memoryview, filepath: str | Path) -> None:
        """Write bytes to `filepath`, whole or not at all."""
        write_atomically(filepath, obj)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, which deletes the oldest checkpoint only after the new one is whole.

    Checkpoints and ``last_checkpoint`` are written beside their place and moved into it. Weights that are not finite
    end the training instead of replacing good ones. All options are mmengine's.
    """

    def before_train(self, runner: Runner) -> None:
        """Choose the folder, and let mmengine write local files at once and whole."""
        register_backend('local', AtomicLocalBackend, force=True, prefixes='')
        super().before_train(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep the command of the training, for the model card of its weights, and no functions of schedules."""
        program = f'python {sys.argv[0]}' if sys.argv[0].endswith('.py') else sys.argv[0]
        checkpoint.setdefault('meta', {})['command'] = ' '.join([program, shlex.join(sys.argv[1:])])
        saved = checkpoint.get('param_schedulers', [])
        for schedules in saved.values() if isinstance(saved, dict) else [saved]:
            # OneCycleLR's state has the method it anneals by, which --resume would refuse as code.
            schedules[:] = [{key: value for key, value in s.items() if not callable(value)} for s in schedules]

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        _refuse_diverged(runner)
        old = None
        if self.max_keep_ckpts > 0 and step not in list(self.keep_ckpt_ids)[-1:]:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                old = self.keep_ckpt_ids.popleft()
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if not is_main_process():
            return
        write_atomically(Path(runner.work_dir) / 'last_checkpoint', str(self.last_ckpt).encode())
        if old is not None:
            self._delete(self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old)))

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, Any]) -> None:
        _refuse_diverged(runner)
        super()._save_best_checkpoint(runner, metrics)

    def _delete(self, path: str) -> None:
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):  # as deepspeed saves it
            self.file_backend.rmtree(path)


def _refuse_diverged(runner: Runner) -> None:
    tensors = [*runner.model.named_parameters(), *runner.model.named_buffers()]
    try:
        check_finite(tensors, 'the weights')
    except InputError as error:
        what = str(error).partition(';')[0]
        raise InputError(
            f'the training diverged: {what}, so they are not saved; {kept(runner)}. Lower optim_wrapper.optimizer.lr, '
            'warm up longer or clip gradients (optim_wrapper.clip_grad.max_norm=1)'
        ) from None
