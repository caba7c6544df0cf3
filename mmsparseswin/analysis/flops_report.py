"""Build a model by its config or name, count it on one image and print the counts (get_flops.py)."""

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmsparseswin.analysis.flops import Cost, Report, count_flops
from mmsparseswin.backbones.base import TokenBackbone
from mmsparseswin.cli import run_config
from mmsparseswin.errors import InputError
from mmsparseswin.layers.grid import Grid
from mmsparseswin.registry import backbone_classes

_VALUES = 'this model looks at values while it runs, which meta has none of; use --device cpu'


def load(model: str, options: dict[str, Any] | None) -> Config:
    """Load the config at a path, or make the config of a classifier by its name."""
    family, _, arch = model.partition('-')
    families = {cls.__name__.lower(): f'mmsparseswin.{cls.__name__}' for cls in backbone_classes()}
    if family not in families or Path(model).exists():
        return run_config.load_config(model, options)
    backbone = dict(type=families[family], arch=arch, out_type='avg_featmap')
    with torch.device('meta'):
        channels = MODELS.build(backbone).out_channels[-1]
    head = dict(type='LinearClsHead', num_classes=1000, in_channels=channels)
    cfg = Config(dict(default_scope='mmpretrain', model=dict(type='ImageClassifier', backbone=backbone, head=head)))
    cfg.merge_from_dict(options or {})
    return cfg


def build(cfg: Config) -> nn.Module:
    """Build the model of `cfg` in eval mode, without pretrained weights."""
    if 'model' not in cfg:
        raise InputError('the config has no model')
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    if cfg.get('data_preprocessor'):
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)  # as the Runner does
    let_boxes_pass(cfg.model)
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    if is_detector(model):
        init_weights(model)
    model.eval()  # some models of mmdet return None here
    return model


def init_weights(model: Any) -> None:
    """Initialise a detector, which needs sane weights to make valid boxes; load no files."""
    for module in model.modules():
        if 'Pretrained' in str(getattr(module, 'init_cfg', None)):
            module.init_cfg = None
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('WARNING')  # at INFO it logs a line per parameter
    try:
        model.init_weights()
    finally:
        logger.setLevel(level)


def let_boxes_pass(node: Any) -> None:
    """Disable thresholds and NMS in every test_cfg of `node`; only the limits on numbers of boxes remain."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == 'test_cfg':
                _open(value)
            else:
                let_boxes_pass(value)


def _open(node: Any) -> None:
    """Disable threshold and NMS of one test_cfg with NMS of boxes; mask-based detectors (SOLO) have none."""
    if not isinstance(node, dict):
        return
    if 'iou_threshold' in (node.get('nms') or {}):
        node['nms'].iou_threshold = 1.0
        node.update({key: -1 for key in ('score_thr', 'min_bbox_size') if key in node})
    for value in node.values():
        _open(value)


def is_detector(model: nn.Module) -> bool:
    """Return True if the model is a detector of mmdet."""
    if 'mmdet' not in sys.modules:
        return False
    from mmdet.models import BaseDetector

    return isinstance(model, BaseDetector)


class Run(NamedTuple):
    """Result of one counted forward pass."""

    report: Report
    inputs: list[tuple[int, ...]]  # shapes of the image and of the input of the backbone
    boxes: dict[str, list[int]]  # RoI extractor -> boxes in each call
    device: str


def run(model: Any, shape: tuple[int, int], device: str) -> Run:
    """Count one image of `shape` (height, width)."""
    if device == 'cuda' and not torch.cuda.is_available():
        raise InputError('--device cuda: there is no GPU here; use cpu')
    generator = torch.Generator().manual_seed(0)
    if is_detector(model):
        if device == 'meta':
            raise InputError(f'--device meta: {_VALUES}')
        image = torch.randint(0, 256, (3, *shape), dtype=torch.uint8, generator=generator)
        data = model.to(device).data_preprocessor(dict(inputs=[image], data_samples=[_sample(shape)]))
        with counted_boxes(model) as boxes:
            report = count_flops(model, **data, mode='predict')
        return Run(report, [(1, *image.shape), tuple(data['inputs'].shape)], boxes, device)
    image = torch.rand(1, _channels(model), *shape, generator=generator)
    try:
        report = count_flops(model.to(device), image.to(device))
    except (RuntimeError, NotImplementedError) as error:
        if device == 'meta' and 'meta' in str(error):
            raise InputError(f'--device meta: {_VALUES}') from error
        raise
    return Run(report, [tuple(image.shape)], {}, device)


def _sample(shape: tuple[int, int]) -> Any:
    from mmdet.structures import DetDataSample

    return DetDataSample(metainfo=dict(img_id=0, img_shape=shape, ori_shape=shape, scale_factor=(1.0, 1.0)))


def _channels(model: nn.Module) -> int:
    """Return the input channels of the first convolution."""
    return next((m.in_channels for m in model.modules() if isinstance(m, nn.modules.conv._ConvNd)), 3)


@contextlib.contextmanager
def counted_boxes(model: nn.Module) -> Iterator[dict[str, list[int]]]:
    """Record the number of boxes in each call of each RoI extractor."""
    boxes: dict[str, list[int]] = {}
    handles = []
    for path, module in model.named_modules():
        if type(module).__name__.endswith('RoIExtractor'):
            handles.append(
                module.register_forward_pre_hook(
                    lambda _, args, path=path: boxes.setdefault(path, []).append(len(args[1]))
                )
            )
    try:
        yield boxes
    finally:
        for handle in handles:
            handle.remove()


def default_shape(model: nn.Module) -> tuple[int, int]:
    """Return the default height and width to count at."""
    if is_detector(model):
        return 800, 1333
    grids = (m.pixels for m in model.modules() if isinstance(m, TokenBackbone))
    height, width, _ = next(grids, Grid(224, 224))
    return height, width


def as_json(run: Run, depth: int) -> str:
    """Format all exact counts as JSON."""

    def cost(cost: Cost) -> dict[str, Any]:
        numbers = asdict(cost)
        del numbers['level'], numbers['extra']
        return {**numbers, 'flops': cost.flops, 'fvcore_flops': cost.fvcore_flops}

    report = run.report
    return json.dumps(
        dict(
            inputs=run.inputs,
            device=run.device,
            boxes=run.boxes,
            total=cost(report.total),
            modules={path: cost(c) for path, c in report.tree(depth).items() if path},
            counted=report.counted,
            not_counted=report.uncounted,
            moved=report.moved,
            compiled=report.compiled,
        ),
        indent=2,
    )


def as_table(run: Run, depth: int, convention: str) -> str:
    """Format the module tree, the totals and their conditions."""
    report = run.report
    names = ['params', 'fvcore flops'] if convention == 'fvcore' else ['params', 'MACs', 'FLOPs']

    def numbers(cost: Cost) -> list[str]:
        operations = [cost.fvcore_flops] if convention == 'fvcore' else [cost.macs, cost.flops]
        giga = [f'{value / 1e9:.3f} G' for value in operations]
        return [f'{cost.params / 1e6:.3f} M', *giga, f'{cost.activations / 1e6:.3f} M']

    rows = [['module', 'class', *names, 'activations']]
    tree = report.tree(depth)
    for path, cost in tree.items():
        parent = max((p for p in tree if path.startswith(f'{p}.')), key=len, default='')
        name = path[len(parent) + bool(parent) :] or 'model'
        rows.append(['  ' * cost.level + name, cost.kind, *numbers(cost)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        '  '.join(
            cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    lines.insert(1, '-' * len(lines[0]))
    lines += ['', *_facts(run, convention)]
    return '\n'.join(lines)


def _facts(run: Run, convention: str) -> Iterator[str]:
    report, total = run.report, run.report.total
    operations = f'{total.macs:,} MACs = {total.flops:,} FLOPs'
    if convention == 'fvcore':
        operations = f'{total.fvcore_flops:,} fvcore flops = {total.macs:,} MACs + norms and interpolations'
    yield f'total        {total.params:,} parameters, {operations}, {total.activations:,} activations'
    shapes = [' x '.join(map(str, shape)) for shape in run.inputs]
    yield f'input        {", preprocessed to ".join(shapes)}; run on {run.device}'
    if run.boxes:
        yield 'boxes        ' + '; '.join(f'{path}: {", ".join(map(str, n))}' for path, n in run.boxes.items())
    yield f'counted      {_calls(report.counted)}'
    yield f'not counted  {_calls(report.uncounted)}'
    yield f'only moved   {_calls(report.moved)}'
    if report.compiled:
        yield f'compiled     {_calls(report.compiled)}: only their calls back into PyTorch are seen'


def _calls(calls: Counter[str]) -> str:
    return ', '.join(f'{name} x{count}' for name, count in calls.most_common()) or 'nothing'
