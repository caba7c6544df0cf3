"""Every config builds its model and pipelines; the main one says what it promises."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from mmdet.evaluation import FasterCocoMetric
from mmdet.registry import DATASETS, METRICS, MODELS
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from torch import nn

ROOT = Path(__file__).parents[2]
# Detectors; test_classification_configs.py has the classifiers, whose names tell their data.
# tests/generation has those that draw; tests/benchmark/test_whole_detector.py has the baseline of mmdet's own parts.
CONFIGS = sorted(
    p
    for p in (ROOT / 'configs').rglob('*.py')
    if not {'_base_', 'generation'} & set(p.parts) and not re.search(r'_(cifar|in1)|_mmdet-', p.stem)
)
# test_sparseswindet_configs.py has the one-stage detector.
FAMILY = [p for p in CONFIGS if p.parent == ROOT / 'configs/sparseswin' and not p.stem.startswith('sparseswindet')]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT / 'configs'))


@pytest.mark.parametrize('path', CONFIGS, ids=name)
def test_builds(path):
    init_default_scope('mmdet')
    cfg = Config.fromfile(path)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        dataset = loader.dataset
        while 'dataset' in dataset:
            dataset = dataset.dataset
        assert DATASETS.get(dataset.type) is not None
        Compose(dataset.pipeline)
    assert issubclass(METRICS.get(cfg.val_evaluator.type), FasterCocoMetric)
    assert '/path/to' not in cfg.pretty_text
    # The backbone says its channels; the neck must have been told the same, or the head where there is none.
    reader = model.neck if model.with_neck else model.bbox_head
    assert tuple(reader.in_channels) == model.backbone.out_channels


@pytest.mark.parametrize('path', FAMILY, ids=name)
def test_file_names_tell_what_is_inside(path):
    kind, size, neck, schedule = re.fullmatch(
        r'(cascade-rcnn|cascade-mask-rcnn)_sparseswin-([tsb])_(fpn|pafpn|pan|densefpn)_(1x|ms-crop-3x)_coco', path.stem
    ).groups()
    cfg = Config.fromfile(path)
    assert cfg.model.backbone.arch == {'t': 'tiny', 's': 'small', 'b': 'base'}[size]
    assert cfg.model.neck.type.lower().removeprefix('mmsparseswin.') == neck
    assert (cfg.model.roi_head.mask_head is not None) == ('mask' in kind)
    assert cfg.train_cfg.max_epochs == {'1x': 12, 'ms-crop-3x': 36}[schedule]
    assert cfg.param_scheduler[1].milestones == {'1x': [8, 11], 'ms-crop-3x': [27, 33]}[schedule]
    assert ('RandomChoice' in str(cfg.train_dataloader.dataset.pipeline)) == (schedule != '1x')
    assert ('with_mask=True' in cfg.pretty_text) == ('mask' in kind)
    assert cfg.val_evaluator.metric == (['bbox', 'segm'] if 'mask' in kind else 'bbox')


def test_the_family_is_whole_and_listed():
    assert len(FAMILY) == 2 * 3 * 2 * 2 + 2
    models = yaml.safe_load((ROOT / 'configs/sparseswin/metafile.yml').read_text())['Models']
    detectors = [m for m in models if m['Config'].endswith('_coco.py') and 'sparseswindet' not in m['Config']]
    assert sorted(m['Config'] for m in detectors) == [str(p.relative_to(ROOT)) for p in FAMILY]


def test_the_main_config_is_what_the_issue_of_it_says():
    cfg = Config.fromfile(ROOT / 'configs/cascade_sparseswin_coco.py')
    assert cfg.train_cfg.max_epochs == 36
    assert cfg.optim_wrapper.optimizer == dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05)
    assert (cfg.optim_wrapper.type, cfg.optim_wrapper.precision) == ('mmsparseswin.PrecisionOptimWrapper', 'auto')
    assert cfg.train_dataloader.batch_size == 2
    assert cfg.auto_scale_lr.base_batch_size == 16
    assert cfg.default_hooks.checkpoint.save_best == 'coco/bbox_mAP'
    assert 'TensorboardVisBackend' in str(cfg.vis_backends)
    assert cfg.model.backbone.init_cfg.checkpoint.startswith('https://')
    scales = cfg.train_dataloader.dataset.pipeline[3].transforms[0][0].scales
    assert scales == [(side, 1333) for side in range(480, 801, 32)]


def shrink(cfg: Config) -> None:
    """Fewer boxes, no download; the model stays what it is."""
    cfg.model.backbone.init_cfg = None
    cfg.model.train_cfg.rpn_proposal.update(nms_pre=50, max_per_img=20)
    cfg.model.test_cfg.rpn.update(nms_pre=50, max_per_img=20)
    for stage in cfg.model.train_cfg.rcnn:
        stage.sampler.num = 8


@pytest.mark.parametrize(
    'stem', ['cascade-mask-rcnn_sparseswin-t_fpn_ms-crop-3x_coco', 'cascade-rcnn_sparseswin-s_pafpn_1x_coco']
)
def test_true_architectures_train_a_step_in_bfloat16_and_predict(stem, shapes):
    init_default_scope('mmdet')
    cfg = Config.fromfile(ROOT / f'configs/sparseswin/{stem}.py')
    shrink(cfg)
    model = MODELS.build(cfg.model).train()
    dataset = dict(
        type='CocoDataset',
        data_root=str(shapes),
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        metainfo=dict(classes=('disk', 'ring', 'square', 'triangle', 'star', 'crescent')),
        pipeline=[
            dict(type='mmsparseswin.LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask='mask' in stem),
            dict(type='Resize', scale=(96, 96), keep_ratio=True),
            dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
        ],
    )
    data = DATASETS.build(dataset)
    batch = pseudo_collate([data[0], data[1]])
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss, _ = model.parse_losses(model(**model.data_preprocessor(batch, True), mode='loss'))
    loss.backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None]
    assert missing == []
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    assert not any(isinstance(m, nn.SyncBatchNorm) for m in model.modules())
    model.eval()
    with torch.no_grad(), torch.autocast('cpu', dtype=torch.bfloat16):
        result = model.test_step(pseudo_collate([data[0]]))[0]
    assert ('masks' in result.pred_instances) == ('mask' in stem)
