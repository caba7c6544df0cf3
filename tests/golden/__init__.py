"""Golden cases: what the published models compute on weights and an input that anybody can draw again.

Each JSON file beside this one is a case, measured on the authors' code in float32 on a CPU. It holds no weights: a
parameter is drawn from its published name and its shape. Of each output it holds the shape, the largest magnitude, and
64 values at flat positions.

| case | model |
| --- | --- |
| sparseswin_cls_tiny_224 | classifier, 100 classes: logits, attention of both blocks, map of the converter |
| sparseswin_dense_tiny_224 | dense encoder: four maps, the first three without norm |
| stvitr_cls_small_224 | classifier, 1000 classes: logits |
| stvitr_det_small_224x224, stvitr_det_small_250x333 | detection backbone: four maps, masks as published |

Index tables, batch norm counters and shift masks are not among the weights; real checkpoints have them.
"""

import json
import math
import re
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parent


class Case(NamedTuple):
    """A published model's weights under its authors' names, its input, and what it computed."""

    content: dict  # the JSON file
    state_dict: dict[str, Tensor]
    image: Tensor

    def difference(self, got: Tensor, name: str) -> float:
        """Return the largest difference from output ``name``, relative to the output's largest magnitude."""
        expected = self.content['outputs'][name]
        assert list(got.shape) == expected['shape']
        values = got.detach().double().flatten()[expected['index']]
        return float((values - torch.tensor(expected['value']).double()).abs().max() / expected['abs_max'])


def load_case(name: str) -> Case:
    """Read a case and draw its weights and its image."""
    content = json.loads((FOLDER / f'{name}.json').read_text())
    weights = {key: torch.from_numpy(draw(key, shape)) for key, shape in content['state_dict'].items()}
    image = _normal(content['input']['seed'], content['input']['shape'])
    return Case(content, weights, torch.from_numpy(image))


def draw(key: str, shape: list[int]) -> np.ndarray:
    """Draw a parameter (float32) with the spread that suits its kind, seeded by its name."""
    noise = _normal(zlib.crc32(_first_name(key).encode()) & 0x7FFFFFFF, shape)
    kind = key.rpartition('.')[2]
    if kind == 'running_var':
        values = 1 + 0.2 * np.abs(noise)
    elif kind == 'running_mean':
        values = 0.1 * noise
    elif 'layer_scale' in kind:
        values = 0.5 + 0.1 * noise
    elif kind == 'bias':
        values = 0.05 * noise
    elif 'relative_position_bias_table' in kind:
        values = 0.2 * noise
    elif len(shape) == 1:  # scales of norms
        values = 1 + 0.1 * noise
    else:
        values = noise / math.sqrt(math.prod(shape[1:]))
    return np.ascontiguousarray(values, dtype=np.float32)


def _normal(seed: int, shape: list[int]) -> np.ndarray:
    # NumPy's legacy generator: its stream is frozen, so that the numbers stay the same in every version.
    return np.random.RandomState(seed).standard_normal(math.prod(shape)).reshape(shape).astype(np.float32)


def _first_name(key: str) -> str:
    """Return the name that seeds a parameter: SparseSwin's encoder lists stages 1 to 3 twice, as the same weights."""
    twin = re.fullmatch(r'(.*?)swin_model\.features\.([0-5])\.(.*)', key)
    if twin is None:
        return key
    prefix, number, rest = twin.groups()
    return f'{prefix}block{int(number) // 2 + 1}.{int(number) % 2}.{rest}'
