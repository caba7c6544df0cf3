"""Run a tool: one clear line for a mistake of the user, a traceback for a bug."""

import atexit
import errno
import os
import re
import select
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from mmsparseswin.cli.launched import end_with_launcher, neighbour_ended, wait_for_launcher
from mmsparseswin.errors import InputError
from mmsparseswin.log_filters import is_verbose, quiet_console

# Mistakes of the user that mmengine and mmdet report with their own exceptions: (type, words of the message).
_KNOWN: tuple[tuple[type[Exception], str], ...] = (
    (KeyError, 'is not in the .* registry'),
    (AssertionError, 'does not matches the length of'),  # mmdet's NumClassCheckHook
    (ValueError, 'should be either all None or not None'),  # mmengine's Runner: half a val or test loop
    (RuntimeError, r'should not be None when calling (train|val|test) method'),
    (AssertionError, 'is not in the pretrained model'),  # init_cfg with another prefix
    (ImportError, 'Please run "pip install'),  # wandb, mlflow and other trackers
    (Exception, 'MLFLOW_ALLOW_FILE_STORE=true'),  # MLflow's own advice
    (RuntimeError, 'Current CUDA Device does not support bfloat16'),
    (NotImplementedError, 'mmcv operator .* exists only compiled'),
)
_BAD_FILE = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError)

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run_tool(main: Callable[[], None]) -> None:
    """Run `main`: a mistake of the user ends in ``error: <one line>`` and exit code 2, a bug in its traceback.

    With MMSPARSESWIN_VERBOSE=1 the traceback comes before the line. If the reader of stdout has gone, as in ``| head``,
    the tool ends without a word and with 141, the exit code of a shell's command that SIGPIPE ends.
    """
    end_with_launcher()
    try:
        with quiet_console():
            main()
        sys.stdout.flush()
        if in_group():
            leave_group()
    except SystemExit as stop:
        try:
            sys.stdout.flush()  # of --help
        except BrokenPipeError:
            os._exit(141)
        if in_group():
            leave_group(stop.code if isinstance(stop.code, int) else 1)
        raise
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_has_gone():
            os._exit(141)  # not sys.exit, which would flush stdout again
        message = user_message(error)
        if in_group() and neighbour_ended(error):
            wait_for_launcher()  # its error is printed; this one would bury it
            message = (
                f'another process of this run ended; its own output says why ({" ".join(str(error).split())[:120]})'
            )
        elif message is None:
            raise
        elif rank() > 0:
            wait_for_launcher()  # rank 0 mostly met the same error: it speaks
        else:
            message += keep_traceback(error)
        with suppress(BrokenPipeError):
            sys.stdout.flush()  # what a pipe or a file still waits for must not come after the error
        if is_verbose():
            traceback.print_exception(error)
        print(f'error: {message}', file=sys.stderr, flush=True)
        # Not sys.exit: data loader workers and a half-initialised process group must not hold or re-report the exit.
        os._exit(2)


def _reader_has_gone() -> bool:
    """Return True if stdout is a pipe that nobody reads any more; other pipes break by faults of ours."""
    pipe = select.poll()
    pipe.register(1, select.POLLOUT)
    return any(event & select.POLLERR for _, event in pipe.poll(0))


def in_group() -> bool:
    """Return True in a process of a distributed run; torch is not imported to find out."""
    distributed = sys.modules.get('torch.distributed')
    return distributed is not None and distributed.is_available() and distributed.is_initialized()


def leave_group(code: int = 0) -> NoReturn:
    """End a process of a distributed run whose work is done, with exit code `code`.

    Threads of gloo abort one run of two processes in five in the destructors of C++ (torch 2.11: "terminate called
    without an active exception"), so these do not run; what Python does at its end is done here.
    """
    from torch import distributed  # tools must answer --help without torch

    distributed.destroy_process_group()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def user_message(error: Exception) -> str | None:
    """Return one line for an error that the user can mend; None for a bug, which keeps its traceback."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if text.startswith('Caught ') and 'Traceback (most recent call last)' in text:
        # A data loader worker's exception comes back with the worker's traceback; its last line is the message.
        text = text.rstrip().splitlines()[-1].partition(': ')[2]
    text = ' '.join(text.split())
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, (InputError, *_BAD_FILE)):
        return text
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return (
            f'the disk is full ({text}): free space, or choose another --work-dir; checkpoints saved before are whole'
        )
    if any(isinstance(error, kind) and re.search(words, text) for kind, words in _KNOWN):
        return text
    if isinstance(error, TypeError) and frames and frames[-1].name == 'build_from_cfg':
        return f'{text}: the config gives an option that this class does not take, or lacks one'
    if any(frame.filename.endswith('torch/serialization.py') and 'load' in frame.name for frame in frames):
        return f'the checkpoint is corrupt or was not written by torch.save: {text}'
    if any(frame.name == 'resume' and 'mmengine/runner/' in frame.filename for frame in frames):
        return f'the checkpoint cannot be resumed by this config: {type(error).__name__}: {text}'
    if type(error).__name__ == 'OutOfMemoryError':
        return f'out of GPU memory: lower train_dataloader.batch_size, use --amp or model.backbone.with_cp=True. {text}'
    return None


def keep_traceback(error: Exception) -> str:
    """Append the traceback of a library's error, which may be a bug after all, to the run's log file.

    Returns:
        where it is, to end the error line with; nothing for an :class:`InputError`, and where there is no log file.
    """
    logging = sys.modules.get('mmengine.logging')  # a tool that has not loaded it has no log file
    if isinstance(error, (InputError, OSError)) or logging is None:
        return ''
    path = logging.MMLogger.get_current_instance().log_file
    try:
        with open(path, 'a') as log:
            log.write(''.join(traceback.format_exception(error)))
    except (OSError, TypeError):  # TypeError: no file
        return ''
    return f' (traceback: {path})'


def rank() -> int:
    """This process's number among all of a distributed run, known before the process group exists."""
    return int(os.environ.get('RANK', os.environ.get('SLURM_PROCID', 0)))
