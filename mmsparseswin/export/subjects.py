"""Build what is exported: a backbone, a classifier or a detector, and all that a file must say about it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mmsparseswin.backbones.base import TokenBackbone
from mmsparseswin.backbones.zoo import create_model, list_models
from mmsparseswin.checkpoints.training_files import load_or_refuse
from mmsparseswin.checksums import sha256_of
from mmsparseswin.cli.channel_order import read_order
from mmsparseswin.cli.class_names import class_names
from mmsparseswin.cli.resizing_steps import plain_test_cfg, resizing_steps
from mmsparseswin.errors import InputError


class Pixels(NamedTuple):
    """How the pixels of a picture become the numbers that a model takes."""

    order: str  # 'rgb' or 'bgr': the channels' order that the model takes
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Subject(NamedTuple):
    """A model to export.

    Attributes:
        module: float images (B, 3, H, W) -> tuple of tensors, one per name of ``outputs``; in eval mode.
        task: 'backbone', 'classifier' or 'detector'; of a detector ``module`` takes the size of the picture, too.
        outputs: names of the outputs.
        pixels: what comes before ``module``; None where no config tells.
        classes: names of the classes by label, if the model has classes.
        origin: what the JSON file tells about model and weights.
        resizing: steps from a picture to ``pixels``, see :func:`mmsparseswin.cli.resizing_steps.resizing_steps`.
        padding: of a detector, how pictures are padded: to multiples of ``divisor``, with ``value``, and ``seen`` by
            the backbone as if it were picture, or ``left_out`` by the file.
    """

    module: nn.Module
    task: str
    outputs: tuple[str, ...]
    pixels: Pixels | None
    classes: tuple[str, ...] | None
    origin: dict[str, Any]
    resizing: list[dict[str, Any]] | None = None
    padding: dict[str, Any] | None = None


def is_name(model: str) -> bool:
    """Return True for a name of :func:`mmsparseswin.list_models` that is no file."""
    return not Path(model).exists() and model in list_models()


def from_name(name: str, checkpoint: str | None = None) -> Subject:
    """Build a backbone of :func:`mmsparseswin.list_models`, with weights of any known source."""
    torch.manual_seed(0)
    model = create_model(name, checkpoint=checkpoint)
    return _backbone(model, None, _origin(name, model, checkpoint))


def from_config(cfg: Config, where: str, checkpoint: str | None = None, backbone: bool = False) -> Subject:
    """Build the classifier or detector of a config, or the backbone of any config.

    Args:
        cfg: the config.
        where: its path, for messages and for the JSON file.
        checkpoint: a file that training wrote, read as data; None leaves the weights random.
        backbone: take the backbone alone.

    Raises:
        InputError: a model of another kind, or a checkpoint that does not fit.
    """
    if 'model' not in cfg:
        raise InputError(f'{where} has no model')
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    if cfg.get('data_preprocessor'):
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)  # as the Runner does
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    loaded: dict[str, Any] = {}
    if checkpoint is not None:
        loaded = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu', logger='silent')
        load_or_refuse(model, loaded, strict=True)
    pixels, resizing = _pixels(model, cfg), resizing_steps(cfg)
    if backbone:
        found = _backbone(model.backbone, pixels, _origin(where, model.backbone, checkpoint))
        return found._replace(resizing=resizing if cfg.get('default_scope') == 'mmpretrain' else None)
    names, origin = class_names(cfg, loaded, model, checkpoint or where), _origin(where, model, checkpoint)
    if cfg.get('default_scope') == 'mmdet':
        from mmsparseswin.export.detectors import padding_of, program  # only detectors need mmdet

        origin['test_cfg'] = plain_test_cfg(cfg)
        detector: Any = program(model)
        padding = padding_of(model)
        return Subject(detector.eval(), 'detector', detector.outputs, pixels, names, origin, resizing, padding)
    module = Classifier(model)
    return Subject(module.eval(), 'classifier', ('scores',), pixels, names, origin, resizing)


class Classifier(nn.Module):
    """A classifier of mmpretrain: float images (B, 3, H, W) -> a tuple of scores (B, classes) that sum to 1.

    Raises:
        InputError: its head predicts in another way than by softmax.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        from mmpretrain.models.heads import ClsHead

        head = model.head
        if not isinstance(head, ClsHead) or type(head)._get_predictions is not ClsHead._get_predictions:
            raise InputError(f'{type(head).__name__} predicts otherwise than by softmax: it is not exported')
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """Return the scores alone."""
        return (self.model(image).softmax(1),)


def _backbone(model: nn.Module, pixels: Pixels | None, origin: dict[str, Any]) -> Subject:
    if not isinstance(model, TokenBackbone):
        raise InputError(f'{type(model).__name__} is no backbone of mmsparseswin: export those, or the whole model')
    if model.in_channels != 3:
        raise InputError(f'in_channels={model.in_channels}: only backbones of pictures, which have 3, are exported')
    names = tuple(f'stage{index + 1}' for index in model.out_indices)
    return Subject(model.eval(), 'backbone', names, pixels, None, origin)


def _pixels(model: nn.Module, cfg: Config) -> Pixels:
    """Read mean, std and the channels' order off a model's preprocessor and the pipeline before it."""
    step: Any = model.data_preprocessor
    flips = getattr(step, 'to_rgb', False) or getattr(step, '_channel_conversion', False)
    read = read_order(cfg)
    order = read[::-1] if flips else read
    if not getattr(step, '_enable_normalize', False):
        return Pixels(order, (0.0,) * 3, (1.0,) * 3)
    return Pixels(order, _three(step.mean), _three(step.std))


def _three(values: Tensor) -> tuple[float, ...]:
    numbers: Sequence[float] = values.flatten().tolist()
    return tuple(numbers) if len(numbers) == 3 else tuple(numbers) * 3


def _origin(where: str, model: nn.Module, checkpoint: str | None) -> dict[str, Any]:
    origin: dict[str, Any] = {
        'model': where,
        'class': type(model).__name__,
        'parameters': sum(p.numel() for p in model.parameters()),
        'weights': None,
    }
    if checkpoint is not None:
        origin['weights'] = {'file': Path(checkpoint).name}
        if Path(checkpoint).is_file():
            origin['weights']['sha256'] = sha256_of(Path(checkpoint))
    return origin
