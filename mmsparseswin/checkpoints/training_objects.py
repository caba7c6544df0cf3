"""Rebuild the objects that training keeps beside its weights: numbers and arrays of numpy, mmengine's histories.

torch's ``weights_only`` unpickler calls what :data:`REBUILT` holds in the place of the named functions. Nothing here
calls back into what a file holds, and only numbers come out: an array of Python objects is refused.
"""

import math
import re
from typing import Any

import numpy as np
from mmengine.logging import HistoryBuffer

_NUMBERS = re.compile(r'[biufc]\d{1,2}|\?')


class RefusalError(Exception):
    """Refusal of something in a file that no weights need; not an UnpicklingError, whose words torch changes."""


class DType:
    """numpy's dtype, by its code such as 'f8' and a byte order."""

    code = order = ''

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or not _NUMBERS.fullmatch(code):
            raise RefusalError(f'it holds a numpy array of {code!r}, which are no numbers')
        self.code, self.order = code, '='

    def __setstate__(self, state: Any) -> None:
        """Take the byte order, the second of numpy's eight items."""
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ('<', '>', '|', '='):
            raise RefusalError('it holds a numpy dtype that is broken')
        self.order = state[1]

    def to_numpy(self) -> np.dtype:
        """Return the dtype."""
        return np.dtype(self.order + self.code)


class Array:
    """numpy's array, as ``_reconstruct`` leaves it: empty until its state is set."""

    state: Any = None

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """Keep version, shape, dtype, order and bytes."""
        self.state = state

    def to_numpy(self) -> np.ndarray:
        """Return the array, which owns its memory.

        Raises:
            ValueError: its state is no array of numbers.
        """
        state = self.state
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], DType):
            raise ValueError('a numpy array that is broken')
        _, shape, dtype, fortran, data = state
        if not isinstance(data, bytes) or not isinstance(shape, tuple):
            raise ValueError('a numpy array of objects')
        kind = dtype.to_numpy()
        if not all(type(n) is int and n >= 0 for n in shape) or math.prod(shape) * kind.itemsize != len(data):
            raise ValueError(f'a numpy array of shape {shape} in {len(data)} bytes')
        return np.frombuffer(data, kind).reshape(shape, order='F' if fortran else 'C').copy()


class History:
    """mmengine's ``HistoryBuffer``: two series of numbers; the methods that are pickled with it are left out."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        """Keep the attributes."""
        self.state = state

    def to_buffer(self) -> HistoryBuffer:
        """Return the buffer.

        Raises:
            ValueError: its series are no numbers, or of different lengths.
        """
        state = self.state if isinstance(self.state, dict) else {}
        series, length = [state.get(name) for name in ('_log_history', '_count_history')], state.get('max_length')
        if not all(isinstance(one, Array) for one in series) or type(length) is not int or length < 1:
            raise ValueError('a HistoryBuffer that is broken')
        log, count = (one.to_numpy() for one in series if isinstance(one, Array))
        if log.ndim != 1 or log.shape != count.shape:
            raise ValueError(f'a HistoryBuffer of shapes {log.shape} and {count.shape}')
        return HistoryBuffer(log, count, length)


def _scalar(dtype: Any, data: Any = None) -> np.generic:
    kind = dtype.to_numpy() if isinstance(dtype, DType) else None
    if kind is None or not isinstance(data, bytes) or len(data) != kind.itemsize:
        raise RefusalError('it holds a numpy number that is broken')
    return np.frombuffer(data, kind)[0]


def _attribute(owner: Any, name: Any, *_: Any) -> None:
    """Stand for ``getattr(HistoryBuffer, 'mean')``, by which the pickled methods of a history are found."""
    if owner is not History:
        raise RefusalError('it calls getattr')


REBUILT: dict[str, Any] = {
    'numpy.dtype': DType,
    'numpy.ndarray': Array,
    'numpy.core.multiarray._reconstruct': Array,
    'numpy._core.multiarray._reconstruct': Array,
    'numpy.core.multiarray.scalar': _scalar,
    'numpy._core.multiarray.scalar': _scalar,
    'mmengine.logging.history_buffer.HistoryBuffer': History,
    'builtins.getattr': _attribute,
}
