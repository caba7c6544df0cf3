"""Filter the console: leave out lines and warnings of libraries that a user cannot act on.

The log file in the work dir keeps every line. MMSPARSESWIN_VERBOSE=1 shows everything on the console, too.
"""

import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

# Regular expressions for the start of a line that a library prints or logs, with the reason.
_LINES = (
    # A data platform of the forks' makers; its package is optional, and nothing here uses it.
    r'Could not import OneDL(\.|$)',
    # pycocotools: progress of steps that take a second.
    r'loading annotations into memory\.\.\.$',
    r'creating index\.\.\.$',
    r'index created!$',
    r'Loading and preparing results\.\.\.$',
    r'(Done|DONE) \(t=[\d.]+s\)\.?$',
    # Versions of compilers and build flags of PyTorch; build_runner logs the line that matters.
    r'\n-+\nSystem environment:',
    # 300 to 700 lines; the work dir has them as a file.
    r'Config:\n',
    # The order of hooks is the same for every run.
    r'Hooks will be executed in the following order:\n',
    # mmengine logs this on every run in one process, for any model.
    r'Distributed training is not used, all SyncBatchNorm \(SyncBN\) layers',
    # Deprecations inside mmengine's and mmdet's own code.
    r'"FileClient" will be deprecated in future',
    r'"HardDiskBackend" is the alias of "LocalBackend"',
    # mmdet has no registry of this kind, and mmengine's own does.
    r'Failed to search registry with scope "mm\w+" in the "(function|strategy)" registry tree',
    # A training without a schedule has none to save.
    r'`save_param_scheduler` is True but `self\.param_schedulers` is None',
    # tools/train.py logs once that there is nothing to resume.
    r'Did not find last_checkpoint to be resumed\.$',
    r'Auto resumed from the latest checkpoint None\.$',
    # Repeats the file that the command line names.
    r'Loads checkpoint by local backend from path: ',
    # The run's name, repeated after every epoch.
    r'Exp name: \S+$',
)
# Python's warnings: (message, category), each raised by a library's own code on every run.
_WARNINGS: tuple[tuple[str, type[Warning]], ...] = (
    # mmdet's FCNMaskHead copies a mask with new_tensor.
    (r'To copy construct from a tensor, it is recommended to use sourceTensor', UserWarning),
    # mmengine chooses one thread for each process, and launch.py has set the number before.
    (r'Setting (OMP|MKL)_NUM_THREADS environment variable for each process', UserWarning),
    # Boxes and masks at the edge of a picture are drawn as far as it reaches.
    (r'Warning: The (bbox|polygon) is out of bounds', UserWarning),
    # DDP, of 1 x 1 kernels under channels-last features, where both layouts are one.
    (r'Grad strides do not match bucket view strides', UserWarning),
    # gradio names a status code by its old name for every event.
    (r"'HTTP_422_UNPROCESSABLE_ENTITY' is deprecated", Warning),
    # An inferencer draws without a folder; tools/predict.py writes the pictures itself.
    (r"Failed to add <class 'mmengine\.visualization\.vis_backend\.\w+'>", UserWarning),
)
# "11/25 02:12:22 - mmengine - INFO - "; the level may be in colour
_PREFIX = re.compile(r'\d\d/\d\d \d\d:\d\d:\d\d - \S+ - \S+ - ')


def is_verbose() -> bool:
    """Return True if MMSPARSESWIN_VERBOSE asks for everything."""
    return os.environ.get('MMSPARSESWIN_VERBOSE', '') not in ('', '0')


@contextmanager
def quiet_console() -> Iterator[None]:
    """Leave the lines and warnings above out of stdout and stderr, unless :func:`is_verbose`."""
    if is_verbose():
        yield
        return
    with warnings.catch_warnings():
        for message, category in _WARNINGS:
            warnings.filterwarnings('ignore', message, category)
        out: Any = FilteredStream(sys.stdout)
        err: Any = FilteredStream(sys.stderr)
        with redirect_stdout(out), redirect_stderr(err):
            yield


class FilteredStream:
    """Text stream without the lines above, and with one line instead of one per parameter.

    A log handler writes a whole record at once, however many lines it has; `print` writes its text, then the line end.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._dropped = False  # the text before was dropped: drop its line end too
        self._folded: list[str] = []
        self._fold: tuple[str, Callable[[list[str]], str]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write `text` unless it is to be left out."""
        if text == '\n' and self._dropped:
            self._dropped = False
            return len(text)
        prefix = match.group() if (match := _PREFIX.match(text)) else ''
        message = text[len(prefix) :].removesuffix('\n')
        for pattern, summarise in _FOLDS:
            if re.match(pattern, message):
                self._fold = (prefix, summarise)
                self._folded.append(message)
                self._dropped = not text.endswith('\n')
                return len(text)
        self._unfold()
        if any(re.match(pattern, message) for pattern in _LINES):
            self._dropped = not text.endswith('\n')
            return len(text)
        self._dropped = False
        return self._stream.write(text)

    def _unfold(self) -> None:
        if self._fold:
            prefix, summarise = self._fold
            self._stream.write(f'{prefix}{summarise(self._folded)}\n')
            self._fold, self._folded = None, []


def _paramwise(messages: list[str]) -> str:
    """Sum up mmengine's 'paramwise_options -- NAME:KEY=VALUE' lines, which come for each parameter with an option."""
    options = [message.partition(' -- ')[2].partition(':') for message in messages]
    names = {name for name, _, _ in options}
    values: dict[str, Counter[str]] = {}
    for _, _, option in options:
        key, _, value = option.partition('=')
        values.setdefault(key, Counter())[value] += 1
    parts = [
        f'{key}={next(iter(found))} for {found.total()}'
        if len(found) == 1
        else f'{key} of {len(found)} values for {found.total()}'
        for key, found in values.items()
    ]
    return f'optimizer options of {len(names)} parameters: {", ".join(parts)}'


def _initialised(messages: list[str]) -> str:
    """Sum up mmengine's '\\nNAME - SHAPE: \\nHOW' lines, which come for each parameter where there is no log file."""
    kinds: Counter[str] = Counter()
    for message in messages:
        how = message.strip().splitlines()[-1].strip()
        if how.startswith('The value is the same'):
            kinds['as built'] += 1
        elif user := re.search(r'user-defined `init_weights` in (\w+)', how):
            kinds[f'by {user.group(1)}'] += 1
        else:
            kinds[f'by {how.partition(":")[0]}'] += 1
    return f'initialised {len(messages)} tensors: {", ".join(f"{n} {kind}" for kind, n in kinds.most_common())}'


_FOLDS = ((r'paramwise_options -- ', _paramwise), (r'\n\S+ - torch\.Size\(\[[\d, ]*\]\): ?\n', _initialised))
