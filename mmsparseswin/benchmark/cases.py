"""What a benchmark names -> a model that runs: our backbones, configs, and the Swins of other libraries.

swin-tiny  stvitr-det-small   names of mmsparseswin.list_models()
swin-tiny:with_cp=True        one with options of its class, separated by commas
mmdet:swin-t  timm:swin-s     a peer, see mmsparseswin.benchmark.baselines
configs/ssd/....py            a config: detector or classifier in tensor mode, or bare backbone
...@autocast-bf16@compiled    any of them in a precision of its own, or compiled (or @eager)
"""

import ast
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import mmsparseswin
from mmsparseswin.backbones.base import TokenBackbone, is_backbone
from mmsparseswin.benchmark.baselines import Backbone, arch_letter, build_peer, list_peers
from mmsparseswin.benchmark.timing import PRECISIONS
from mmsparseswin.errors import InputError


@dataclass(frozen=True)
class Size:
    """A batch of images.

    Attributes:
        batch: how many.
        height: pixels.
        width: pixels.
    """

    batch: int
    height: int
    width: int

    def __str__(self) -> str:
        return f'{self.batch}x{self.height}x{self.width}'

    @property
    def area(self) -> int:
        """Pixels of the whole batch."""
        return self.batch * self.height * self.width

    @classmethod
    def parse(cls, text: str) -> 'Size':
        """'8x224x224' -> 8 images of 224 x 224."""
        parts = text.split('x')
        if len(parts) != 3 or not all(part.isdigit() and int(part) for part in parts):
            raise InputError(f'size {text!r} is not of the form BATCHxHEIGHTxWIDTH, e.g. 8x224x224')
        return cls(*map(int, parts))


@dataclass(frozen=True)
class Contestant:
    """A model in a precision.

    Attributes:
        model: a name of this module's docstring, without suffixes.
        precision: one of `PRECISIONS`.
        compiled: by ``torch.compile``.
    """

    model: str
    precision: str
    compiled: bool = False

    def __str__(self) -> str:
        return f'{self.model}@{self.precision}' + '@compiled' * self.compiled

    @property
    def is_peer(self) -> bool:
        """Whether another library made it."""
        return self.model in list_peers()


def parse_contestants(text: str, precisions: list[str], compiled: bool = False) -> list[Contestant]:
    """'NAME@SUFFIX...' -> one contestant in each of `precisions`, or in the one of a suffix.

    Raises:
        InputError: a suffix or precision that is neither.
    """
    name, *suffixes = text.split('@')
    own = [suffix for suffix in suffixes if suffix not in ('compiled', 'eager')]
    for precision in own or precisions:
        if precision not in PRECISIONS:
            raise InputError(f'{text}: {precision!r} is unknown; choose one of {[*PRECISIONS, "compiled", "eager"]}')
    if 'compiled' in suffixes or 'eager' in suffixes:
        compiled = 'compiled' in suffixes
    return [Contestant(name, precision, compiled) for precision in own or precisions]


class _Tensors(nn.Module):
    """A detector or classifier of mmengine that is called for its raw outputs."""

    def __init__(self, model: nn.Module, samples: list | None) -> None:
        super().__init__()
        self.model, self.samples = model, samples

    def forward(self, x: Tensor) -> Any:
        return self.model(x, self.samples, mode='tensor')


class Part(nn.Module):
    """One module of a model alone, on what it is given inside: for images of the size of ``x``, whatever they show.

    Args:
        model: runs once.
        path: end of the module's name in it, e.g. ``stages.3``.
        x: images.

    Raises:
        InputError: no module ends with that name.
    """

    def __init__(self, model: nn.Module, path: str, x: Tensor) -> None:
        super().__init__()
        found = [module for name, module in model.named_modules() if f'.{name}'.endswith(f'.{path}')]
        if not found:
            raise InputError(f'--part {path}: no module of the model is called that')
        self.module = found[0]
        given: list[tuple] = []
        with self.module.register_forward_pre_hook(lambda _, args: given.append(args)), torch.no_grad():
            model.eval()(x)
        self.given = given[0]

    def forward(self, x: Tensor) -> Any:
        """What the module returns; of ``x`` only device and type count."""
        return self.module(*(arg.to(x) if isinstance(arg, Tensor) else arg for arg in self.given))


def build(name: str, size: Size, output: str) -> nn.Module:
    """The model of a name, in fp32 on the CPU, without stochastic depth, on random weights.

    Args:
        name: see the module's docstring.
        size: of its images.
        output: 'pooled' or 'maps', for backbones; a config keeps its own.

    Raises:
        InputError: nothing has that name; the names there are.
    """
    torch.manual_seed(0)
    if name.endswith('.py'):
        return _from_config(name, size)
    if name in list_peers():
        return build_peer(name, (size.height, size.width), output)
    known, _, given = name.partition(':')
    if known not in mmsparseswin.list_models():
        raise InputError(
            f'model {name!r} is unknown; choose a config.py, or one of {mmsparseswin.list_models()} '
            f'or, of other libraries, {list_peers()}'
        )
    options: dict[str, Any] = dict(drop_path_rate=0.0, out_type='featmap' if output == 'maps' else 'avg_featmap')
    return Backbone(mmsparseswin.create_model(known, **options | _options(name, given)), pool=False)


def _options(name: str, text: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for pair in filter(None, text.split(',')):
        key, equals, value = pair.partition('=')
        if not equals:
            raise InputError(f'{name}: {pair!r} is not of the form option=value')
        try:
            options[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[key] = value
    return options


def _from_config(path: str, size: Size) -> nn.Module:
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import MODELS, init_default_scope

    from mmsparseswin.cli.run_config import load_config

    cfg = load_config(path)
    if 'model' not in cfg:
        raise InputError(f'config {path} has no model')
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    _stop_dropping(cfg.model)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    if isinstance(model, TokenBackbone):
        return Backbone(model, pool=False)
    samples = None
    if cfg.get('default_scope') == 'mmdet':
        from mmdet.structures import DetDataSample

        shape = (size.height, size.width)
        info = dict(img_id=0, img_shape=shape, ori_shape=shape, batch_input_shape=shape, scale_factor=(1.0, 1.0))
        samples = [DetDataSample(metainfo=info) for _ in range(size.batch)]
    return _Tensors(model, samples)


def _stop_dropping(node: Any) -> None:
    """Set every drop_path_rate of a config to 0; our backbones also drop where the config is silent."""
    if isinstance(node, dict):
        if 'drop_path_rate' in node or is_backbone(node):
            node['drop_path_rate'] = 0.0
        for value in node.values():
            _stop_dropping(value)


def letter(name: str, model: nn.Module) -> str:
    """'t', 's' or 'b': which Swin it is; '' if it is none that peers have."""
    if name in list_peers():
        return name[-1]
    return arch_letter(model.model) if isinstance(model, Backbone) else ''


def image(size: Size) -> Tensor:
    """A batch of noise (B, 3, H, W)."""
    return torch.randn(size.batch, 3, size.height, size.width, generator=torch.Generator().manual_seed(1))


def best_peer(medians: dict[Contestant, float], letters: dict[Contestant, str], ours: Contestant) -> Contestant | None:
    """The fastest peer whose products have the same type and that is compiled if ours is.

    Peers of the same Swin as ours only, if there are any; all peers where ours is no Swin they have.
    """
    products = PRECISIONS[ours.precision].products
    peers = [
        c for c in medians if c.is_peer and PRECISIONS[c.precision].products == products and c.compiled == ours.compiled
    ]
    if letters[ours]:
        peers = [c for c in peers if letters[c] == letters[ours]]
    return min(peers, key=lambda c: medians.get(c, math.inf), default=None)
