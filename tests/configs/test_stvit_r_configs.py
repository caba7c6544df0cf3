"""The STViT-R family holds the settings its authors trained with.

See docs/models/stvit_r.md, 'Classifier recipe' and 'Detector recipe'.
"""

import re
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, MODELS, PARAM_SCHEDULERS, init_default_scope
from torch import nn

from mmsparseswin.cli.run_config import load_config

ROOT = Path(__file__).parents[2]
FAMILY = sorted((ROOT / 'configs/stvit_r').glob('*.py'))
ARCHS = {'t': 'tiny', 's': 'small', 'b': 'base'}
# Published for S and B (docs/models/stvit_r.md), ours for T.
CLASSIFIER_DROP_PATH = {'t': 0.2, 's': 0.3, 'b': 0.4}
DETECTOR_DROP_PATH = {'t': 0.1, 's': 0.2, 'b': 0.3}
CLASSIFIER_PARAMETERS = {'s': 49_625_518, 'b': 87_812_336}
BACKBONE_PARAMETERS = {'s': 48_857_862, 'b': 86_789_128}
CLASSES = ('disk', 'ring', 'square', 'triangle', 'star', 'crescent')
CASCADE = 'cascade-mask-rcnn_stvit-r-{}_fpn_ms-crop-3x_coco'


def load(stem: str, folder: str = 'stvit_r') -> Config:
    cfg = Config.fromfile(ROOT / f'configs/{folder}/{stem}.py')
    init_default_scope(cfg.default_scope)
    return cfg


def build(cfg: Config) -> nn.Module:
    with torch.device('meta'):
        return MODELS.build(cfg.model)


def holds(options: dict, **settings) -> None:
    assert {name: options[name] for name in settings} == settings


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_the_family_is_whole_and_listed():
    kinds = ['cascade-mask-rcnn_stvit-r-{}_fpn_ms-crop-3x_coco', 'mask-rcnn_stvit-r-{}_fpn_1x_coco']
    kinds.append('stvit-r-{}_16xb64_in1k')
    assert [p.stem for p in FAMILY] == sorted(kind.format(size) for kind in kinds for size in ARCHS)
    models = yaml.safe_load((ROOT / 'configs/stvit_r/metafile.yml').read_text())['Models']
    assert sorted(m['Config'] for m in models) == [str(p.relative_to(ROOT)) for p in FAMILY]
    for model in models:
        built = build(load(Path(model['Config']).stem))
        assert model['Metadata']['Parameters (M)'] == round(count(built) / 1e6, 1), model['Name']
        assert model['Metadata']['Epochs'] == Config.fromfile(ROOT / model['Config']).train_cfg.max_epochs


@pytest.mark.parametrize('size', ARCHS)
def test_classifiers(size):
    cfg = load(f'stvit-r-{size}_16xb64_in1k')
    backbone, head = cfg.model.backbone, cfg.model.head
    assert (backbone.arch, backbone.preset, backbone.drop_path_rate) == (ARCHS[size], 'cls', CLASSIFIER_DROP_PATH[size])
    model = build(cfg)
    assert (head.num_classes, head.in_channels) == (1000, model.backbone.out_channels[-1])
    assert count(model) == CLASSIFIER_PARAMETERS.get(size, count(model))
    assert head.loss == dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')
    assert cfg.model.train_cfg.augments == [dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]
    holds(cfg.optim_wrapper.optimizer, type='AdamW', lr=1e-3, weight_decay=0.05, eps=1e-8, betas=(0.9, 0.999))
    assert cfg.optim_wrapper.clip_grad == dict(max_norm=5.0)
    assert (cfg.optim_wrapper.type, cfg.optim_wrapper.precision) == ('mmsparseswin.PrecisionOptimWrapper', 'auto')
    assert (cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size) == (300, 64)
    assert cfg.auto_scale_lr.base_batch_size == 16 * 64
    steps = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    holds(steps['RandomResizedCrop'], scale=224, interpolation='bicubic')
    policy = dict(policies='timm_increasing', num_policies=2, total_level=10, magnitude_level=9, magnitude_std=0.5)
    holds(steps['RandAugment'], **policy)
    holds(steps['RandomErasing'], erase_prob=0.25, mode='rand')
    steps = {step.type: step for step in cfg.val_dataloader.dataset.pipeline}
    holds(steps['ResizeEdge'], scale=256, edge='short', interpolation='bicubic')
    assert steps['CenterCrop'].crop_size == 224


def test_the_classifiers_learning_rate_by_steps():
    cfg = load('stvit-r-s_16xb64_in1k')
    steps = 4  # an epoch
    optimizer = torch.optim.AdamW([torch.zeros(1)], lr=cfg.optim_wrapper.optimizer.lr)
    schedulers = []
    for scheduler in cfg.param_scheduler:
        options = dict(scheduler)
        assert options.pop('convert_to_iter_based')
        kind = PARAM_SCHEDULERS.get(options.pop('type'))
        schedulers.append(kind.build_iter_from_epoch(optimizer, epoch_length=steps, **options))
    rates = []
    for _ in range(300 * steps):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    assert rates[0] == pytest.approx(1e-6)
    assert rates.index(max(rates)) in range(20 * steps - 1, 20 * steps + 1)
    assert max(rates) == pytest.approx(1e-3)
    assert rates[160 * steps] == pytest.approx((1e-3 + 1e-5) / 2, rel=0.02)
    assert rates[-1] == pytest.approx(1e-5, rel=0.02)
    assert all(a > b for a, b in zip(rates[20 * steps :], rates[20 * steps + 1 :], strict=False))


@pytest.mark.parametrize('size', ARCHS)
def test_cascade_mask_rcnn(size):
    cfg = load(CASCADE.format(size))
    backbone = cfg.model.backbone
    assert (backbone.preset, backbone.masks, backbone.drop_path_rate) == ('det', 'exact', DETECTOR_DROP_PATH[size])
    model = build(cfg)
    assert count(model.backbone) == BACKBONE_PARAMETERS.get(size, count(model.backbone))
    heads, stds = model.roi_head.bbox_head, []
    assert model.roi_head.stage_loss_weights == [1, 0.5, 0.25]
    for head, mask_head in zip(heads, model.roi_head.mask_head, strict=True):
        assert len(head.shared_convs) == 4
        assert all(isinstance(conv.norm, nn.SyncBatchNorm) for conv in head.shared_convs)
        assert [tuple(fc.weight.shape) for fc in head.shared_fcs] == [(1024, 256 * 49)]
        assert head.fc_reg.out_features == 4 * 80
        assert head.reg_decoded_bbox
        assert (type(head.loss_bbox).__name__, head.loss_bbox.loss_weight) == ('GIoULoss', 10.0)
        assert (type(head.loss_cls).__name__, head.loss_cls.use_sigmoid) == ('CrossEntropyLoss', False)
        stds.append(head.bbox_coder.stds)
        assert (type(mask_head).__name__, len(mask_head.convs)) == ('FCNMaskHead', 4)
    assert stds == [[0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.033, 0.033, 0.067, 0.067]]
    sizes = [model.roi_head.bbox_roi_extractor[0], model.roi_head.mask_roi_extractor[0]]
    assert [extractor.roi_layers[0].output_size for extractor in sizes] == [(7, 7), (14, 14)]
    rpn = cfg.model.rpn_head
    assert (rpn.anchor_generator.scales, rpn.anchor_generator.ratios) == ([8], [0.5, 1.0, 2.0])
    assert rpn.loss_bbox == dict(type='SmoothL1Loss', beta=1 / 9, loss_weight=1.0)
    training, testing = cfg.model.train_cfg, cfg.model.test_cfg
    assert [stage.assigner.pos_iou_thr for stage in training.rcnn] == [0.5, 0.6, 0.7]
    assert all((stage.sampler.num, stage.sampler.pos_fraction) == (512, 0.25) for stage in training.rcnn)
    assert (training.rpn_proposal.max_per_img, testing.rpn.max_per_img) == (2000, 1000)
    assert testing.rpn.nms.iou_threshold == 0.7
    assert (testing.rcnn.score_thr, testing.rcnn.nms.iou_threshold, testing.rcnn.max_per_img) == (0.05, 0.5, 100)


@pytest.mark.parametrize('size', ARCHS)
def test_the_detectors_schedule(size):
    cfg = load(CASCADE.format(size))
    assert cfg.optim_wrapper.optimizer == dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05)
    assert 'clip_grad' not in cfg.optim_wrapper
    assert (cfg.optim_wrapper.type, cfg.optim_wrapper.precision) == ('mmsparseswin.PrecisionOptimWrapper', 'auto')
    assert (cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size, cfg.auto_scale_lr.base_batch_size) == (36, 2, 16)
    warm_up, steps = cfg.param_scheduler
    assert (warm_up.type, warm_up.start_factor, warm_up.end, warm_up.by_epoch) == ('LinearLR', 0.001, 500, False)
    assert (steps.milestones, steps.end, steps.by_epoch) == ([27, 33], 36, True)
    whole, cropped = cfg.train_dataloader.dataset.pipeline[3].transforms
    assert whole[0].scales == cropped[2].scales == [(side, 1333) for side in range(480, 801, 32)]
    assert cropped[0].scales == [(400, 1333), (500, 1333), (600, 1333)]
    assert (cropped[1].crop_type, cropped[1].crop_size) == ('absolute_range', (384, 600))
    assert load(f'mask-rcnn_stvit-r-{size}_fpn_1x_coco').train_cfg.max_epochs == 12


def weight_decay(cfg: Config, model: nn.Module) -> dict[str, float]:
    """Name -> weight decay in the optimizer that training would use."""
    options = dict(cfg.optim_wrapper)
    groups = build_optim_wrapper(model, options).optimizer.param_groups
    by_id = {id(p): group['weight_decay'] for group in groups for p in group['params']}
    return {name: by_id[id(p)] for name, p in model.named_parameters()}


@pytest.mark.parametrize('stem', [CASCADE.format('b'), 'mask-rcnn_stvit-r-t_fpn_1x_coco'])
def test_detectors_decay_all_but_layer_norms_and_tables(stem):
    cfg = load(stem)
    cfg.model.backbone.update(relative_pos=True, use_abs_pos_embed=True, use_global=True)
    model = build(cfg)
    decay = weight_decay(cfg, model)
    spared = {
        f'{prefix}.{name}'
        for prefix, module in model.named_modules()
        for name, _ in module.named_parameters(recurse=False)
        if isinstance(module, nn.LayerNorm) or name in ('relative_position_bias_table', 'absolute_pos_embed')
    }
    assert decay == {name: 0.0 if name in spared else 0.05 for name in decay}
    assert 'backbone.absolute_pos_embed' in spared
    for name in (
        'patch_embed.bn1.weight',
        'patch_embed.bn2.bias',
        'stages.2.blocks.1.layer_scale_1',
        'stages.2.blocks.5.layer_scale_2',
        'stages.2.blocks.2.attn.kv.bias',
        'stages.2.blocks.2.global_tokens',
        'stages.0.blocks.0.mlp.fc1.bias',
    ):
        assert decay[f'backbone.{name}'] == 0.05, name


@pytest.mark.parametrize('size', ARCHS)
def test_classifiers_decay_no_vector_and_no_table(size):
    cfg = load(f'stvit-r-{size}_16xb64_in1k')
    model = build(cfg)
    for name, decay in weight_decay(cfg, model).items():
        vector = model.get_parameter(name).dim() == 1
        assert decay == (0.0 if vector or 'relative_position_bias_table' in name else 0.05), name


def test_detectors_start_from_what_was_published_or_from_swin():
    urls = {size: load(CASCADE.format(size)).model.backbone.init_cfg.checkpoint for size in ARCHS}
    for size in 'sb':
        assert re.search(rf'csncsn/STViT-R/.*/STViT-R-Swin-{size.upper()}\.pth$', urls[size])
    assert urls['t'].endswith('swin_t-704ceda3.pth')
    assert urls == {s: load(f'mask-rcnn_stvit-r-{s}_fpn_1x_coco').model.backbone.init_cfg.checkpoint for s in ARCHS}


def test_the_detector_takes_the_weights_of_the_classifier(tmp_path):
    """All but the norms of the first three maps, which a classifier does not have."""
    cfg, size = load('stvit-r-t_16xb64_in1k'), dict(embed_dims=8, depths=(1, 1, 6, 1), num_heads=(1, 1, 2, 2))
    cfg.model.backbone.arch = size
    cfg.model.head.update(in_channels=64, num_classes=3)
    classifier = MODELS.build(cfg.model)
    state = {n: t for n, t in classifier.state_dict().items() if not n.endswith('num_batches_tracked')}  # as old files
    torch.save(dict(state_dict=state, meta={}), tmp_path / 'epoch_300.pth')
    cfg = load('mask-rcnn_stvit-r-t_fpn_1x_coco')
    cfg.model.backbone.update(arch=size, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'epoch_300.pth')))
    backbone = MODELS.build(cfg.model.backbone)
    backbone.init_weights()
    given, got = classifier.backbone.state_dict(), backbone.state_dict()
    assert got.keys() - given.keys() == {f'norm{i}.{kind}' for i in range(3) for kind in ('weight', 'bias')}
    assert all(torch.equal(got[name], given[name]) for name in given)  # the counters are 0 in both


def test_the_classifiers_pipelines_run_on_a_picture(shapes):
    cfg = load('stvit-r-s_16xb64_in1k')
    picture = next((shapes / 'train').glob('*.jpg'))
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        packed = Compose(loader.dataset.pipeline)(dict(img_path=str(picture), gt_label=3))
        assert packed['inputs'].shape == (3, 224, 224)


def test_the_classifiers_data_moves_with_data_root():
    cfg = load_config(str(ROOT / 'configs/stvit_r/stvit-r-b_16xb64_in1k.py'), {'data_root': '/elsewhere'})
    assert [cfg[f'{split}_dataloader'].dataset.data_root for split in ('train', 'val', 'test')] == ['/elsewhere'] * 3


def train_step(model: nn.Module, cfg: Config, root: Path) -> None:
    """One step on two images of the embedded data set, in bfloat16 as the configs train."""
    data = cfg.train_dataloader.dataset
    data.update(data_root=str(root), metainfo=dict(classes=CLASSES), filter_cfg=None)
    data.ann_file = 'annotations/instances_train.json'
    data.data_prefix.img = 'train/'
    dataset = DATASETS.build(data)
    samples = [s for s in map(dataset.__getitem__, range(len(dataset))) if len(s['data_samples'].gt_instances)]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        inputs = model.data_preprocessor(pseudo_collate(samples[:2]), True)
        loss, _ = model.parse_losses(model(**inputs, mode='loss'))
    loss.backward()
    bad = [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert bad == []


@pytest.mark.parametrize('stem', [CASCADE.format('t'), 'mask-rcnn_stvit-r-t_fpn_1x_coco'])
def test_true_detectors_train_a_step_and_predict(stem, shapes):
    cfg = load(stem)
    cfg.model.backbone.init_cfg = None
    cfg.model.train_cfg.rpn_proposal.update(nms_pre=50, max_per_img=20)
    cfg.model.test_cfg.rpn.update(nms_pre=50, max_per_img=20)
    stages = cfg.model.train_cfg.rcnn if isinstance(cfg.model.train_cfg.rcnn, list) else [cfg.model.train_cfg.rcnn]
    for stage in stages:
        stage.sampler.num = 8
    pipeline = [s for s in cfg.train_dataloader.dataset.pipeline if s.type not in ('RandomChoice', 'Resize')]
    pipeline.insert(2, dict(type='Resize', scale=(90, 70), keep_ratio=True))
    cfg.train_dataloader.dataset.pipeline = pipeline
    model = revert_sync_batchnorm(MODELS.build(cfg.model)).train()
    train_step(model, cfg, shapes)
    model.eval()
    image = torch.randint(0, 256, (3, 61, 83), dtype=torch.uint8)
    sample = DATASETS.build(cfg.train_dataloader.dataset)[0]['data_samples']
    sample.set_metainfo(dict(img_shape=(61, 83), ori_shape=(61, 83), scale_factor=(1.0, 1.0)))
    with torch.no_grad(), torch.autocast('cpu', dtype=torch.bfloat16):
        (result,) = model.test_step(pseudo_collate([dict(inputs=image, data_samples=sample)]))
    assert result.pred_instances.masks.shape[1:] == (61, 83)


@pytest.mark.parametrize('stem', ['cascade_stvitr_shapes', 'cascade_stvitr_smoke'])
def test_every_parameter_of_the_slim_backbone_learns_from_the_first_step(stem, shapes):
    """Layer scales start at 1e-5: small gradients behind them, but none that is zero."""
    cfg = load(stem, 'quickstart')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    assert float(model.backbone.stages[2].blocks[1].layer_scale_1.mean()) == pytest.approx(1e-5)
    train_step(model.train(), cfg, shapes)
    assert [name for name, p in model.backbone.named_parameters() if not p.grad.any()] == []


def test_a_classifier_trains_a_step():
    cfg = load('stvit-r-t_16xb64_in1k')
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor)).train()  # as the Runner joins them
    model.init_weights()
    assert float(model.head.fc.weight.std()) == pytest.approx(0.02, rel=0.05)
    from mmpretrain.structures import DataSample

    samples = [DataSample().set_gt_label(label) for label in (3, 999)]
    inputs = [torch.randint(0, 256, (3, 224, 224), dtype=torch.uint8) for _ in samples]
    data = model.data_preprocessor(dict(inputs=inputs, data_samples=samples), True)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss, _ = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()] == []
