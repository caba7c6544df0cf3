"""Models of the page: one call at a time, what was looked at is remembered, and never of one user for another."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmsparseswin.analysis.attention_maps import Attention, record_attention
from mmsparseswin.analysis.attention_pictures import input_picture
from mmsparseswin.analysis.token_views import TokenView, record_features, token_views
from mmsparseswin.backbones.base import TokenBackbone
from mmsparseswin.easy import Model, Result, load
from mmsparseswin.errors import InputError

LOWEST = 0.05  # score; the slider of the page starts here
_MOST_BYTES = 2**30  # of remembered attention


@dataclass
class Look:
    """What one pass through a model shows: the picture as its backbone sees it, attention, and views of its tokens."""

    picture: np.ndarray  # (H, W, 3) uint8 RGB
    records: list[Attention]
    tokens: dict[str, TokenView]
    reason: str  # why there are no tokens

    @property
    def bytes(self) -> int:
        """Memory of the attention."""
        return sum(record.weights.nbytes for record in self.records)


class Models:
    """Models of the page by name; mmengine keeps state of its own, so that only one runs at a time.

    Args:
        chosen: of :func:`mmsparseswin.demo.chosen.chosen_models`.
        device: 'cpu', 'cuda:0', ... or 'auto'.

    Raises:
        InputError: see :func:`mmsparseswin.easy.load`.
    """

    def __init__(self, chosen: Sequence[tuple[str, str | None]], device: str = 'auto') -> None:
        self._models: dict[str, Model] = {}
        for config, weights in chosen:
            name = Path(config.rpartition('::')[2]).stem
            if weights is not None and name in self._models:
                name = f'{name}, {Path(weights).stem}'
            while name in self._models:
                name += "'"
            model = self._models[name] = load(config, weights, device)
            _ = model.network  # now, not at the first picture
        self._lock = threading.Lock()
        self._looks: OrderedDict[tuple[str, str], Look] = OrderedDict()

    @property
    def names(self) -> list[str]:
        """Names of the models in the order they were given."""
        return list(self._models)

    @property
    def first(self) -> Model:
        """The first model."""
        return next(iter(self._models.values()))

    @contextmanager
    def running(self) -> Iterator[dict[str, Model]]:
        """Yield the models by name; nobody else runs one in the context."""
        with self._lock:
            yield self._models

    def predict(self, name: str, path: Path) -> Result:
        """Return the prediction of a picture, with every detection from LOWEST on."""
        with self._lock:
            return self._models[name].predict(path, score=LOWEST, progress=False)[0]

    def predict_frames(self, name: str, path: Path, score: float) -> Iterator[Result]:
        """Yield the predictions of a video's frames; between two frames others may use the models."""
        frames = self._models[name].stream(path, score=score)
        while True:
            with self._lock:
                result = next(frames, None)
            if result is None:
                return
            yield result

    def look(self, name: str, path: Path) -> Look:
        """Return what the model looks at; the same picture is looked at once, whoever shows it."""
        key = (name, hashlib.sha256(path.read_bytes()).hexdigest())
        with self._lock:
            if key not in self._looks:
                self._looks[key] = _look(self._models[name], path)
            self._looks.move_to_end(key)
            while len(self._looks) > 1 and sum(look.bytes for look in self._looks.values()) > _MOST_BYTES:
                self._looks.popitem(last=False)
            return self._looks[key]


def _look(model: Model, path: Path) -> Look:
    network = model.network
    with record_attention(network) as records, record_features(network) as features, _record_inputs(network) as inputs:
        model.predict(path, score=LOWEST, progress=False)
    steps: Any = network.data_preprocessor
    picture = input_picture(inputs[-1][0], getattr(steps, 'mean', None), getattr(steps, 'std', None))
    records = [record._replace(weights=record.weights.detach().cpu()) for record in records]
    try:
        return Look(picture, records, token_views(network, records, features), '')
    except InputError as error:
        return Look(picture, records, {}, str(error))


@contextmanager
def _record_inputs(network: torch.nn.Module) -> Any:
    """Append the input of every call of the backbone to the yielded list."""
    inputs: list[torch.Tensor] = []
    backbone = next(module for module in network.modules() if isinstance(module, TokenBackbone))
    handle = backbone.register_forward_pre_hook(lambda _module, args: inputs.append(args[0].detach()))
    try:
        yield inputs
    finally:
        handle.remove()
