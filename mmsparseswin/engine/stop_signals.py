"""Hook that saves a checkpoint and ends the training when the process is asked to stop."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier, get_world_size, is_main_process
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmsparseswin.atomic_files import write_atomically
from mmsparseswin.registry import HOOKS

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class LeaveWithParent:
    """Start-up of a data loader worker that ends when the process that reads from it says so, and by no other signal.

    A cluster and a terminal signal every process of a job, but the reading process still needs the batch at hand. At
    its end it sends SIGTERM to workers that are left, and waits for them: who sends tells both apart.

    Args:
        then: the data loader's own ``worker_init_fn``.
    """

    def __init__(self, then: Callable[[int], None] | None) -> None:
        self.then = then

    def __call__(self, worker: int) -> None:
        """Prepare this process, worker number `worker`."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if hasattr(signal, 'sigwaitinfo'):  # not on macOS
            # Blocked here, before other threads start, so that each of them blocks it, too.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            threading.Thread(target=_leave_with_parent, daemon=True).start()
        if self.then:
            self.then(worker)


def _leave_with_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


@HOOKS.register_module()
class StopSignalsHook(Hook):
    """On SIGTERM (a cluster's preemption) or SIGINT (Ctrl-C), save ``iter_N.pth`` and exit with 128 + the signal.

    The iteration at hand is finished first; all processes of a distributed run stop at the same one. A second signal
    changes nothing, because launchers send the one from the keyboard once more; SIGKILL ends at once.
    """

    priority = 'LOWEST'  # after schedulers, averaged weights and the checkpoint that may be due anyway

    def __init__(self) -> None:
        self._signal = 0
        self._old: dict[int, Any] = {}

    def before_train(self, runner: Runner) -> None:
        """Take the signals; where a validation was stopped, begin with it."""
        self._old = {number: signal.signal(number, self._note) for number in _SIGNALS}
        for loop in filter(None, (runner.train_loop, runner.val_loop)):
            if isinstance(loader := loop.dataloader, DataLoader):
                loader.worker_init_fn = LeaveWithParent(loader.worker_init_fn)
        if runner.message_hub.runtime_info.pop('validation_due', 0) and runner.val_loop is not None:
            runner.val_loop.run()

    def after_train(self, runner: Runner) -> None:
        """Give the signals back."""
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self._old = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signal = self._signal or number

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Save and stop, if asked to; between two steps of the optimizer where gradients are accumulated."""
        steps = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        if (runner.iter + 1) % steps == 0 and (number := self._agreed()):
            self._stop(runner, number, runner.iter + 1)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Save and stop, if asked to; the resumed run begins with this validation."""
        # Processes may validate unequal numbers of batches: there each one goes on to the next iteration of training.
        if self._old and get_world_size() == 1 and self._signal:
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    hook.after_val_epoch(runner)  # puts the trained weights back in their place
            runner.message_hub.update_info('validation_due', 1)
            self._stop(runner, self._signal, runner.iter)

    def _agreed(self) -> int:
        """Return the signal that any process got, or 0."""
        if get_world_size() == 1:
            return self._signal
        number = torch.tensor([self._signal])
        all_reduce(number, 'max')
        return int(number)

    def _stop(self, runner: Runner, number: int, iteration: int) -> None:
        saving = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
        folder = (saving.out_dir if saving else None) or runner.work_dir
        backend_args = saving.backend_args if saving else None
        name = f'iter_{iteration}.pth'
        meta = dict(epoch=runner.epoch, iter=iteration)
        runner.save_checkpoint(folder, name, meta=meta, by_epoch=False, backend_args=backend_args)
        path = f'{str(folder).rstrip("/")}/{name}'
        if is_main_process():
            write_atomically(Path(runner.work_dir) / 'last_checkpoint', path.encode())
        barrier()
        print_log(
            f'stopped by {signal.Signals(number).name} after iteration {iteration}; saved {path}; go on with --resume',
            'current',
        )
        self.after_train(runner)  # a notebook lives on
        raise SystemExit(128 + number)
