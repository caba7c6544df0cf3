"""Build the models that a benchmark names: our backbones, configs, and the Swins of other libraries.

swin-tiny  stvitr-det-small   names of mmsparseswin.list_models()
swin-tiny:with_cp=True        one with options of its class, separated by commas
mmdet:swin-t  timm:swin-s     a baseline: mmsparseswin.benchmark.baselines
configs/ssd/....py            a config: detector or classifier in tensor mode, or bare backbone
...@autocast-bf16@compiled    any of them in a precision of its own, and run by torch.compile
...@openvino @onnxruntime @inductor @eager    run by another runtime: mmsparseswin.benchmark.engines
"""

import ast
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import mmsparseswin
from mmsparseswin.backbones.base import TokenBackbone, is_backbone
from mmsparseswin.benchmark.baselines import Backbone, arch_variant, build_baseline, list_baselines
from mmsparseswin.benchmark.engines import FOREIGN, INFERENCE_ONLY, MODES
from mmsparseswin.benchmark.sizes import Size
from mmsparseswin.benchmark.timing import PRECISIONS
from mmsparseswin.errors import InputError


@dataclass(frozen=True)
class Case:
    """A model to time in one precision.

    Attributes:
        model: a name as in the module docstring, without suffixes.
        precision: one of `PRECISIONS`.
        mode: what runs it, one of :data:`mmsparseswin.benchmark.engines.MODES`.
    """

    model: str
    precision: str
    mode: str = 'eager'

    def __str__(self) -> str:
        return f'{self.model}@{self.precision}' + ('' if self.mode == 'eager' else f'@{self.mode}')

    @property
    def is_baseline(self) -> bool:
        """Return True if the model is another library's, or another runtime runs it."""
        return self.is_of_library or self.mode in FOREIGN

    @property
    def is_of_library(self) -> bool:
        """Return True if the model is another library's."""
        return self.model in list_baselines()


def parse_cases(text: str, precisions: list[str], compiled: bool = False) -> list[Case]:
    """Parse 'NAME@SUFFIX...' into one case per precision: those of the suffixes, else `precisions`.

    Raises:
        InputError: a suffix is neither a precision nor a mode, or there are two modes.
    """
    name, *suffixes = text.split('@')
    modes = [suffix for suffix in suffixes if suffix in MODES]
    own = [suffix for suffix in suffixes if suffix not in MODES]
    for precision in own or precisions:
        if precision not in PRECISIONS:
            raise InputError(f'{text}: {precision!r} is unknown; choose one of {[*PRECISIONS, *MODES]}')
    if len(modes) > 1:
        raise InputError(f'{text}: choose one of {modes}')
    mode = modes[0] if modes else 'compiled' if compiled else 'eager'
    return [Case(name, precision, mode) for precision in own or precisions]


class _Tensors(nn.Module):
    """Call a detector or classifier of mmengine in tensor mode, for its raw outputs."""

    def __init__(self, model: nn.Module, samples: list | None) -> None:
        super().__init__()
        self.model, self.samples = model, samples

    def forward(self, x: Tensor) -> Any:
        return self.model(x, self.samples, mode='tensor')


class Part(nn.Module):
    """Run one module of a model alone, on the inputs it gets for images of the size of ``x``.

    Args:
        model: runs once, to record these inputs.
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
        """Return the module's output for the recorded inputs; ``x`` only gives device and type."""
        return self.module(*(arg.to(x) if isinstance(arg, Tensor) else arg for arg in self.given))


def build(name: str, size: Size, output: str) -> nn.Module:
    """Build the model of a name, in fp32 on the CPU, without stochastic depth, on random weights.

    Args:
        name: see the module's docstring.
        size: of its images.
        output: 'pooled' or 'maps', for backbones; 'whole' for the config of a detector, with post-processing or losses.
            A config gives its raw outputs else.

    Raises:
        InputError: the name is unknown; the message lists the known ones.
    """
    torch.manual_seed(0)
    if name.endswith('.py'):
        return _from_config(name, size, output)
    if output == 'whole':
        raise InputError(f'--output whole: {name!r} is a backbone; name the config of a detector')
    if name in list_baselines():
        return build_baseline(name, (size.height, size.width), output)
    known, _, given = name.partition(':')
    if known not in mmsparseswin.list_models():
        raise InputError(
            f'model {name!r} is unknown; choose a config.py, or one of {mmsparseswin.list_models()} '
            f'or, of other libraries, {list_baselines()}'
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


def _from_config(path: str, size: Size, output: str) -> nn.Module:
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import MODELS, init_default_scope

    from mmsparseswin.cli.run_config import load_config

    cfg = load_config(path)
    if 'model' not in cfg:
        raise InputError(f'config {path} has no model')
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    _stop_dropping(cfg.model)
    if output == 'whole':
        if cfg.get('default_scope') != 'mmdet':
            raise InputError(f'--output whole: {path} is no detector')
        from mmsparseswin.benchmark.whole_detector import WholeDetector, accept_all_scores  # needs mmdet

        accept_all_scores(cfg.model)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    if output == 'whole':
        return WholeDetector(model, size)
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
    """Set every drop_path_rate of a config to 0, also for our backbones, whose default is not 0."""
    if isinstance(node, dict):
        if 'drop_path_rate' in node or is_backbone(node):
            node['drop_path_rate'] = 0.0
        for value in node.values():
            _stop_dropping(value)


def variant(name: str, model: nn.Module) -> str:
    """Return the variant of Swin, 't', 's' or 'b', or '' if no baseline has it."""
    if name in list_baselines():
        return name[-1]
    return arch_variant(model.model) if isinstance(model, Backbone) else ''


def image(size: Size) -> Tensor:
    """Return a batch of noise (B, 3, H, W)."""
    return torch.randn(size.batch, 3, size.height, size.width, generator=torch.Generator().manual_seed(1))


def best_baseline(medians: dict[Case, float], variants: dict[Case, str], ours: Case) -> Case | None:
    """Return the fastest baseline with the same type of matrix products, in the same mode or one for inference only.

    Only baselines of the same variant of Swin count, or all of them if no baseline has the variant of `ours`.
    """
    products = PRECISIONS[ours.precision].products
    baselines = [
        c
        for c in medians
        if c.is_baseline
        and PRECISIONS[c.precision].products == products
        and c.mode in (ours.mode, *INFERENCE_ONLY)
        and c != ours
    ]
    if variants[ours]:
        baselines = [c for c in baselines if variants[c] == variants[ours]]
    return min(baselines, key=lambda c: medians.get(c, math.inf), default=None)
