"""Add to a config what `tools/test.py` offers: result files, pictures, test-time augmentation."""

import logging
import os
from copy import deepcopy

from mmengine.config import Config, ConfigDict

from mmsparseswin.errors import InputError

_MERGING = 'mmsparseswin.MaskTTAModel'


def _is_detector(cfg: Config) -> bool:
    return cfg.get('default_scope') == 'mmdet'


def _metrics(cfg: Config) -> list[ConfigDict]:
    """The metric dicts of the test evaluator, whether it is one metric, several, or an Evaluator that holds them."""
    if not isinstance(cfg.get('test_evaluator'), list):
        evaluator = cfg.get('test_evaluator')
        if evaluator is None:
            raise InputError('the config has no test_evaluator (and test_dataloader, test_cfg): nothing to test with')
        if 'metrics' not in evaluator:
            cfg.test_evaluator = [evaluator]
            return cfg.test_evaluator
        if not isinstance(evaluator.metrics, list):
            evaluator.metrics = [evaluator.metrics]
        return evaluator.metrics
    return cfg.test_evaluator


def set_coco_json(cfg: Config) -> list[str]:
    """Make each COCO metric keep its result files; returns the paths they may have (no masks, no segm file)."""
    coco = [metric for metric in _metrics(cfg) if str(metric.get('type')).endswith('CocoMetric')]
    files = []
    for index, metric in enumerate(coco):
        if not metric.get('outfile_prefix'):
            metric.outfile_prefix = os.path.join(cfg.work_dir, f'predictions{index or ""}')
        files += [f'{metric.outfile_prefix}.{kind}.json' for kind in ('bbox', 'segm')]
    return files


def add_dump(cfg: Config, path: str) -> None:
    """Write raw predictions to the pickle file `path`, masks as RLE."""
    kind = 'DumpDetResults' if _is_detector(cfg) else 'DumpResults'
    _metrics(cfg).append(ConfigDict(type=kind, out_file_path=path))


def set_pictures(cfg: Config, folder: str | None, show: bool, interval: int, wait_time: float) -> None:
    """Draw every `interval`-th image into `folder`, in a window, or both."""
    hooks = cfg.setdefault('default_hooks', ConfigDict())
    folder = folder and os.path.abspath(folder)  # mmdet would join a relative one to a time stamp under the work dir
    if _is_detector(cfg):
        hook = hooks.setdefault('visualization', ConfigDict())
        hook.update(type='mmsparseswin.DetPicturesHook', draw=True, show=show, wait_time=wait_time)
        hook.update(interval=interval, test_out_dir=folder)
        default = dict(type='DetLocalVisualizer', name='visualizer')
    else:
        if 'module' in cfg.model:  # wrapped by set_tta
            raise InputError('--tta: mmpretrain draws one view of an image; for pictures test without --tta')
        hook = hooks.setdefault('visualization', ConfigDict(type='VisualizationHook'))
        hook.update(enable=True, show=show, wait_time=wait_time, interval=interval, out_dir=folder)
        default = dict(type='UniversalVisualizer', name='visualizer')
    if cfg.get('visualizer') is None:
        cfg.visualizer = ConfigDict(default)


def set_tta(cfg: Config) -> None:
    """Test-time augmentation: the config's (`tta_model`, `tta_pipeline`), else the image and its mirror image."""
    dataset = cfg.test_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    if 'tta_model' not in cfg:
        nms = dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)
        cfg.tta_model = dict(type=_MERGING, tta_cfg=nms) if _is_detector(cfg) else dict(type='AverageClsScoreTTA')
    elif cfg.tta_model['type'] in ('DetTTAModel', 'mmdet.DetTTAModel'):
        cfg.tta_model['type'] = _MERGING  # the same for boxes, and takes masks
    if 'tta_pipeline' not in cfg:
        *steps, pack = deepcopy(dataset.pipeline)
        if _is_detector(cfg):
            pack.pop('meta_keys', None)  # the default keeps flip and flip_direction, which merging needs
        flips = [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)]
        cfg.tta_pipeline = [*steps, dict(type='TestTimeAug', transforms=[flips, [pack]])]
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    dataset.pipeline = cfg.tta_pipeline


def report_files(logger: logging.Logger, candidates: list[str], folder: str | None, out: str | None) -> None:
    """Say where the results are."""
    written = [path for path in candidates if os.path.isfile(path)]
    if written:
        logger.info(f'predictions (COCO JSON): {" ".join(written)}')
    if folder:
        logger.info(f'pictures: {folder}')
    if out:
        logger.info(f'results: {out}')
