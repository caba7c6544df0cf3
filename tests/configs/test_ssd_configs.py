"""The 24 SSD configs: what their names promise, the published numbers, and that each trains and predicts."""

import re
from itertools import product
from pathlib import Path

import pytest
import torch
import yaml
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import InstanceData

ROOT = Path(__file__).parents[2]
BACKBONES = ('r50-a', 'r50-b', 'swin-t-a', 'swin-t-b', 'sparseswin-t', 'stvit-r-s')
NECKS = {'none': None, 'fpn': 'FPN', 'pan': 'mmsparseswin.PAN', 'densefpn': 'mmsparseswin.DenseFPN'}
CELLS = list(product(BACKBONES, NECKS))
# docs/models/ssd.md, 'Priors' and 'Necks'.
PRIORS = {'r50-a': 8732, 'r50-b': 8732, 'swin-t-a': 10492, 'swin-t-b': 10684, 'sparseswin-t': 10684, 'stvit-r-s': 10684}
PARAMETERS = {
    ('r50-a', 'none'): 45_490_230,
    ('swin-t-a', 'none'): 26_929_408,
    ('r50-b', 'none'): 22_894_902,
    ('r50-b', 'fpn'): 22_457_654,
    ('r50-b', 'pan'): 25_408_054,
    ('r50-b', 'densefpn'): 30_714_934,
    ('swin-t-b', 'none'): 25_627_904,
    ('swin-t-b', 'fpn'): 27_523_584,
    ('swin-t-b', 'pan'): 30_473_984,
    ('swin-t-b', 'densefpn'): 35_780_864,
}
FAST = {('swin-t-b', 'fpn'), ('r50-a', 'pan'), ('sparseswin-t', 'densefpn')}


def config(backbone: str, neck: str) -> Config:
    init_default_scope('mmdet')
    return Config.fromfile(ROOT / f'configs/ssd/ssd_{backbone}_{neck}_coco.py')


def side(backbone: str) -> int:
    return 300 if backbone.startswith('r50') else 336


def test_the_family_is_whole_and_listed():
    files = {f'configs/ssd/ssd_{backbone}_{neck}_coco.py' for backbone, neck in CELLS}
    assert {str(p.relative_to(ROOT)) for p in (ROOT / 'configs/ssd').glob('*.py')} == files
    models = yaml.safe_load((ROOT / 'configs/ssd/metafile.yml').read_text())['Models']
    assert {m['Config'] for m in models} == files
    page = (ROOT / 'configs/ssd/README.md').read_text()
    assert all(Path(file).name in page for file in files)


@pytest.mark.parametrize(('backbone', 'neck'), CELLS)
def test_priors_and_parameters_are_the_published_ones(backbone, neck):
    cfg = config(backbone, neck)
    with torch.device('meta'):
        model = MODELS.build(cfg.model).eval()
        scores, boxes = model(torch.empty(1, 3, side(backbone), side(backbone)), mode='tensor')
    assert [tuple(m.shape[2:]) for m in scores] == [(s, s) for s in cfg.map_sizes]
    per_cell = model.bbox_head.num_base_priors
    assert [m.shape[1] for m in scores] == [81 * n for n in per_cell]
    assert sum(m[0, 0].numel() * n for m, n in zip(scores, per_cell, strict=True)) == PRIORS[backbone]
    assert sum(m[0].numel() for m in boxes) == 4 * PRIORS[backbone]
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters == PARAMETERS.get((backbone, neck), parameters)
    models = yaml.safe_load((ROOT / 'configs/ssd/metafile.yml').read_text())['Models']
    (listed,) = (m['Metadata']['Parameters (M)'] for m in models if m['Name'] == f'ssd_{backbone}_{neck}_coco')
    assert listed == round(parameters / 1e6, 1)


@pytest.mark.parametrize(('backbone', 'neck'), CELLS)
def test_the_training_set_up_is_the_published_one(backbone, neck):
    cfg = config(backbone, neck)
    assert cfg.model.get('neck', {}).get('type') == NECKS[neck]
    assert cfg.model.bbox_head.box_loss_per == 'coordinate'
    loader = cfg.train_dataloader
    assert (loader.batch_size, loader.drop_last, cfg.auto_scale_lr.base_batch_size) == (64, True, 256)
    pipelines = loader.dataset.pipeline + cfg.val_dataloader.dataset.pipeline
    assert {t['scale'] for t in pipelines if 'scale' in t} == {(side(backbone), side(backbone))}
    assert cfg.optim_wrapper.type == 'OptimWrapper'
    assert cfg.optim_wrapper.clip_grad == dict(max_norm=5.0, norm_type=2)
    warmup, steps = cfg.param_scheduler
    optimizer = dict(cfg.optim_wrapper.optimizer)
    start = optimizer['lr'] * warmup.start_factor
    if backbone.startswith('r50'):
        assert optimizer == dict(type='SGD', lr=pytest.approx(0.0208), momentum=0.9, weight_decay=5e-4)
        later = (backbone, neck) == ('r50-b', 'densefpn')  # this run alone warmed up longer
        assert (start, warmup.end) == (pytest.approx(8e-6 if later else 8e-5), 2 if later else 1)
        assert (steps.milestones, cfg.train_cfg.max_epochs) == ([44, 55] if later else [43, 54], 65)
    else:
        assert optimizer == dict(type='AdamW', lr=pytest.approx(8e-4), betas=(0.9, 0.999), weight_decay=0.05)
        assert (start, warmup.end) == (pytest.approx(8e-8), 2)
        assert (steps.milestones, cfg.train_cfg.max_epochs) == ([34, 44, 51], 52)


def decays(backbone: str) -> dict[str, bool]:
    """Return for each parameter if it decays."""
    cfg = config(backbone, 'none')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    wrapper = Runner.build_optim_wrapper(type('R', (), {'model': model})(), cfg.optim_wrapper)
    decay = {id(p): group['weight_decay'] > 0 for group in wrapper.optimizer.param_groups for p in group['params']}
    return {name: decay[id(p)] for name, p in model.named_parameters()}


def test_sgd_spares_norms_and_biases():
    cfg = config('r50-a', 'none')
    with torch.device('meta'):
        shapes = {name: p.ndim for name, p in MODELS.build(cfg.model).named_parameters()}
    for name, decayed in decays('r50-a').items():
        assert decayed == (shapes[name] > 1), name


def test_adamw_spares_norms_and_tables_and_nothing_else():
    for backbone in ('swin-t-a', 'swin-t-b'):
        for name, decayed in decays(backbone).items():
            assert decayed == (not re.search('norm|relative_position_bias_table', name)), name


def batch(size: tuple[int, int], images: int = 2) -> dict:
    torch.manual_seed(0)
    height, width = size
    samples = []
    for number in range(images):
        sample = DetDataSample(metainfo=dict(img_id=number, img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0)))
        corner = torch.rand(2 - number, 2) * 0.5  # two objects, one, ...
        boxes = torch.cat((corner, corner + 0.1 + 0.3 * torch.rand_like(corner)), 1)
        boxes = boxes * torch.tensor([width, height, width, height])
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.arange(len(boxes)))
        samples.append(sample)
    pixels = torch.randint(0, 256, (images, 3, *size), dtype=torch.uint8)
    return dict(inputs=list(pixels), data_samples=samples)


@pytest.mark.parametrize(
    ('backbone', 'neck'), [c if c in FAST else pytest.param(*c, marks=pytest.mark.slow) for c in CELLS]
)
def test_true_architectures_train_a_step_and_predict_at_any_size(backbone, neck):
    cfg = config(backbone, neck)
    cfg.model.backbone.backbone.init_cfg = None  # no download
    cfg.model.test_cfg.score_thr = 0.0
    cfg.model.test_cfg.nms_pre = 50
    model = MODELS.build(cfg.model)
    model.init_weights()
    wrapper = Runner.build_optim_wrapper(type('R', (), {'model': model})(), cfg.optim_wrapper)
    size = (side(backbone), side(backbone))
    data = model.train().data_preprocessor(batch(size), True)
    loss, parts = model.parse_losses(model(**data, mode='loss'))
    assert 4 < float(parts['loss_cls']) < 100  # at random 4 log 81 = 17.6 or more: the negatives are the hardest ones
    loss.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()] == []
    wrapper.step()
    model.eval()
    for shape, amp in ((size, False), ((203, 311), False), ((77, 58), True)):
        with torch.no_grad(), torch.autocast('cpu', dtype=torch.bfloat16, enabled=amp):
            (result,) = model.test_step(batch(shape, images=1))
        boxes = result.pred_instances.bboxes
        assert len(boxes) > 0
        assert torch.isfinite(boxes).all()
        assert boxes[:, 2].max() <= shape[1]
        assert boxes[:, 3].max() <= shape[0]


def test_the_snippet_of_the_page_mends_the_augmentation():
    (code,) = re.findall(r'```python\n(.*?)```', (ROOT / 'configs/ssd/README.md').read_text(), re.DOTALL)
    cfg = Config.fromstring(code.replace("'./", f"'{ROOT}/configs/ssd/"), '.py')
    repaired = Config.fromfile(ROOT / 'configs/_base_/datasets/coco_ssd_repaired_336.py')
    assert cfg.train_dataloader.dataset.pipeline == repaired.train_dataloader.dataset.pipeline
    assert cfg.train_dataloader.dataset.pipeline[3].type == 'Expand'
