"""Every classification config builds at its true size and says what its recipe promises (pages cited at each test)."""

import math
import re
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from mmpretrain.registry import DATASETS, HOOKS, METRICS, MODELS
from mmpretrain.structures import DataSample

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / 'configs'
FAMILIES = ('sparseswin', 'swin', 'swinvit')  # test_stvit_r_configs.py has STViT-R's
CONFIGS = [
    path
    for family in (*FAMILIES, 'experiments')
    for path in sorted((FOLDER / family).glob('*.py'))
    if re.search(r'_(cifar|in1)', path.stem)
]
SPARSE = [p for p in CONFIGS if p.parent.name == 'sparseswin']
# docs/models/swin.md, 'Published variants' and 'SwinViT'; docs/models/sparse_swin.md, 'Sizes' (10, 100, 1000 classes)
SWIN_1K = {
    'swin-t': 28288354,
    'swin-s': 49606258,
    'swin-b': 87768224,
    'swin-l': 196532476,
    'swin-b-384px': 87903584,
    'swin-l-384px': 196735516,
    'swin-s3-t': 28328674,
    'swin-s3-s': 49737298,
    'swin-s3-b': 71125762,
}
SPARSE_PARAMETERS = {
    't': {10: 20241801, 100: 20287971, 1000: 20749671},
    's': {10: 29003796, 100: 29073006, 1000: 29765106},
    'b': {10: 40911913, 100: 41004163, 1000: 41926663},
}
CLASSES = {'cifar10': 10, 'cifar100': 100, 'in100': 100, 'in1k': 1000}


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def load(name: str) -> Config:
    return Config.fromfile(FOLDER / f'{name}.py')


def build(cfg: Config, device: str = 'cpu'):
    if 'backbone' in cfg.model:
        cfg.model.backbone.init_cfg = None  # no download
    with torch.device(device):
        model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    return model


def parameters(model) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_builds(path):
    cfg = Config.fromfile(path)
    model = build(cfg, 'meta')
    classes = CLASSES[re.search(r'_(cifar100?|in100|in1k)', path.stem)[1]]
    assert cfg.data_preprocessor.num_classes == classes
    if 'backbone' in cfg.model:
        assert model.head.fc.out_features == classes
        assert model.head.fc.in_features == model.backbone.out_channels[-1]
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        assert DATASETS.get(loader.dataset.type) is not None
        assert cfg.data_root == loader.dataset.data_root  # --cfg-options data_root=DIR moves it
        Compose(loader.dataset.pipeline)
    assert cfg.test_dataloader == cfg.val_dataloader
    assert cfg.val_evaluator == cfg.test_evaluator
    accuracy, matrix = (METRICS.build(metric) for metric in cfg.val_evaluator)
    assert accuracy.topk == (1, 5)
    assert type(matrix).__module__ == 'mmsparseswin.engine.confusion_matrix'
    assert 'ClassifierPicturesHook' in str(cfg.custom_hooks)
    for hook in cfg.custom_hooks:
        HOOKS.build({k: v for k, v in hook.items() if k != 'priority'})
        assert 'ema_type' not in hook or MODELS.get(hook.ema_type) is not None


def test_parameters_are_the_published_ones():
    for key, count in SWIN_1K.items():
        name, _, size = key.partition('-384')
        kind = '16xb64-ft' if size or name == 'swin-l' else '16xb64'
        assert parameters(build(load(f'swin/{name}_{kind}_in1k{"-384" + size if size else ""}'), 'meta')) == count
    assert parameters(build(load('swinvit/swinvit_1xb128_cifar10'), 'meta')) == 7048612
    assert parameters(build(load('experiments/swinvit-timm_cifar10-1h'), 'meta')) == 7048612


@pytest.mark.parametrize('path', SPARSE, ids=lambda p: p.stem)
def test_sparseswin_files_say_what_is_inside(path):
    size, dataset = re.fullmatch(r'sparseswin-([tsb])_[\w-]+_(\w+)', path.stem).groups()
    cfg = Config.fromfile(path)
    hooks = str(cfg.custom_hooks)
    published = 'published' in path.stem
    assert cfg.model.backbone.arch == {'t': 'tiny', 's': 'small', 'b': 'base'}[size]
    assert parameters(build(cfg, 'meta')) == SPARSE_PARAMETERS[size][CLASSES[dataset]]
    assert ('EvalModeHook' in hooks) == published
    assert ('EMAHook' in hooks) == (not published)
    assert cfg.model.head.loss.type == ('CrossEntropyLoss' if published else 'LabelSmoothLoss')
    assert cfg.optim_wrapper.type == ('OptimWrapper' if published else 'mmsparseswin.PrecisionOptimWrapper')


def test_the_sparseswin_family_is_whole():
    stems = {path.stem for path in SPARSE}
    for size in 'tsb':
        for dataset in CLASSES:
            ours = '16xb64' if dataset == 'in1k' else '1xb128'
            assert {f'sparseswin-{size}_1xb128-published_{dataset}', f'sparseswin-{size}_{ours}_{dataset}'} <= stems


@pytest.mark.parametrize('dataset', ['cifar10', 'cifar100'])
def test_published_sparseswin_on_cifar(dataset):
    """docs/models/sparse_swin.md, 'Recipe'."""
    cfg = load(f'sparseswin/sparseswin-s_1xb128-published_{dataset}')
    assert cfg.optim_wrapper.optimizer == dict(type='AdamW', lr=5e-5, betas=(0.9, 0.999), weight_decay=0.01)
    assert 'paramwise_cfg' not in cfg.optim_wrapper
    assert 'clip_grad' not in cfg.optim_wrapper
    assert cfg.param_scheduler == []
    assert (cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size, cfg.randomness.seed) == (100, 128, 1)
    assert cfg.model.backbone.get('frozen_stages', -1) == -1
    crop, flip = cfg.train_dataloader.dataset.pipeline[:2]
    assert crop == dict(type='RandomResizedCrop', scale=224, interpolation='bilinear')  # 8 to 100 %: the default
    assert flip.prob == 0.5
    assert cfg.val_dataloader.dataset.pipeline[0] == dict(type='Resize', scale=(224, 224), interpolation='bilinear')
    assert cfg.data_preprocessor.mean == [123.675, 116.28, 103.53]
    assert cfg.model.get('train_cfg') is None


@pytest.mark.parametrize('dataset', ['in100', 'in1k'])
def test_published_sparseswin_on_imagenet(dataset):
    """docs/models/sparse_swin.md, 'Recipe'."""
    cfg = load(f'sparseswin/sparseswin-t_1xb128-published_{dataset}')
    assert cfg.optim_wrapper.optimizer == dict(type='Adam', lr=1e-4)
    assert (cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size) == (100, 128)
    assert cfg.model.backbone.frozen_stages == 2
    steps = {step.type: step for step in cfg.val_dataloader.dataset.pipeline}
    assert steps['ResizeEdge'].scale == 256
    assert steps['ResizeEdge'].get('backend', 'cv2') == 'cv2'  # no antialiasing
    assert steps['CenterCrop'].crop_size == 224
    model = build(cfg, 'meta')
    frozen = {name.split('.')[2] for name, p in model.named_parameters() if not p.requires_grad and 'stages' in name}
    assert frozen == {'0', '1'}


def learning_rates(cfg: Config, epochs: int, steps: int = 1) -> list[float]:
    """The rate of each step, if an epoch has `steps`."""
    options = dict(type='OptimWrapper', optimizer=cfg.optim_wrapper.optimizer)
    wrapper = build_optim_wrapper(torch.nn.Linear(2, 2), options)
    schedulers = [
        PARAM_SCHEDULERS.build(dict({'end': epochs}, **one), default_args=dict(optimizer=wrapper, epoch_length=steps))
        for one in cfg.param_scheduler
    ]
    rates = []
    for step in range(epochs * steps):
        rates.append(wrapper.optimizer.param_groups[0]['lr'])
        wrapper.optimizer.step()
        for scheduler in schedulers:
            if not scheduler.by_epoch or (step + 1) % steps == 0:
                scheduler.step()
    return rates


def test_published_swinvit():
    """docs/models/swin.md, 'SwinViT recipe'."""
    cfg = load('swinvit/swinvit_1xb128-published_cifar10')
    assert (cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size, cfg.randomness.seed) == (200, 128, 42)
    assert cfg.optim_wrapper.optimizer == dict(type='AdamW', lr=1e-3, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1)
    assert 'clip_grad' not in cfg.optim_wrapper
    assert [hook.max_norm for hook in cfg.custom_hooks if 'ClipEachTensorHook' in hook.type] == [3.0]
    assert cfg.model.head.loss.label_smooth_val == 0.1
    assert cfg.model.train_cfg.augments == [dict(type='CutMix', alpha=1.0)]  # in every batch
    assert cfg.model.train_cfg.get('probs') is None
    assert [step.type.rpartition('/')[2] for step in cfg.train_dataloader.dataset.pipeline] == [
        *('NumpyToPIL', 'TrivialAugmentWide', 'RandomHorizontalFlip', 'RandomCrop', 'PILToTensor'),
        *('RandomErasing', 'PackInputs'),
    ]
    model = build(cfg)
    batch = {'inputs': torch.full((2, 3, 32, 32), 255, dtype=torch.uint8)}
    assert torch.equal(model.data_preprocessor(batch)['inputs'], torch.ones(2, 3, 32, 32))  # not normalised
    cfg.optim_wrapper.type, _ = 'OptimWrapper', cfg.optim_wrapper.pop('loss_scale')
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    decayed = {id(p) for group in groups for p in group['params'] if group['weight_decay'] == 0.1}
    assert all((id(p) in decayed) == (p.ndim >= 2) for p in model.parameters())


def test_published_swinvit_restarts_with_a_warm_up():
    """docs/models/swin.md, 'SwinViT recipe': epoch 0: 1e-6; 10: 1e-3; 30: ~5e-4; 49: 2.5e-6; 50: 1e-6 again."""
    rates = learning_rates(load('swinvit/swinvit_1xb128-published_cifar10'), 200)
    for cycle in range(4):
        one = rates[50 * cycle : 50 * cycle + 50]
        assert one[0] == pytest.approx(1e-6)
        assert one[5] == pytest.approx(1e-6 + 0.5 * (1e-3 - 1e-6))
        assert one[10] == pytest.approx(1e-3)
        assert one[30] == pytest.approx(5.005e-4)
        assert one[49] == pytest.approx(2.54e-6, rel=1e-2)


def test_the_official_swin_recipe():
    """docs/models/swin.md, 'Official recipe' and 'The HSE run of Swin-T'."""
    cfg = load('swin/swin-b_16xb64_in1k')
    expected = dict(type='AdamW', lr=1e-3, weight_decay=0.05, eps=1e-8, betas=(0.9, 0.999))
    assert {name: cfg.optim_wrapper.optimizer[name] for name in expected} == expected
    assert cfg.optim_wrapper.clip_grad.max_norm == 5.0
    assert cfg.train_cfg.max_epochs == 300
    rates = learning_rates(cfg, 300, steps=3)
    assert rates[0] == pytest.approx(1e-6)
    assert rates[60] == pytest.approx(1e-3, rel=1e-2)  # after 20 epochs
    assert rates[60 + 420] == pytest.approx((1e-3 + 1e-5) / 2, rel=1e-2)
    assert rates[-1] == pytest.approx(1e-5, rel=1e-2)
    assert {a.type: a.alpha for a in cfg.model.train_cfg.augments} == {'Mixup': 0.8, 'CutMix': 1.0}
    text = cfg.pretty_text
    assert "policies='timm_increasing'" in text
    assert 'erase_prob=0.25' in text
    assert [load(f'swin/swin-{s}_16xb64_in1k').model.backbone.arch for s in 'tsb'] == ['tiny', 'small', 'base']
    for size, rate in (('t', 0.2), ('s', 0.3), ('b', 0.5)):
        assert build(load(f'swin/swin-{size}_16xb64_in1k'), 'meta').backbone.settings['drop_path_rate'] == rate
    hse = load('swin/swin-t_hse-4xb256_in1k')
    assert (hse.optim_wrapper.type, hse.train_dataloader.batch_size) == ('OptimWrapper', 256)
    assert 'paramwise_cfg' not in hse.optim_wrapper
    assert hse.param_scheduler == cfg.param_scheduler


def test_official_fine_tuning():
    """docs/models/swin.md, 'Official recipe': 30 epochs, 5 warm-up, 2e-5 and 2e-7 per 512, weight decay 1e-8."""
    cfg = load('swin/swin-l_16xb64-ft_in1k-384px')
    rates = learning_rates(cfg, 30, steps=4)
    assert rates[0] == pytest.approx(4e-8)
    assert max(rates) == pytest.approx(4e-5, rel=1e-2)
    assert rates[-1] == pytest.approx(4e-7, rel=5e-2)
    assert cfg.optim_wrapper.optimizer.weight_decay == 1e-8
    assert (cfg.model.backbone.img_size, cfg.model.backbone.window_size) == (384, 12)
    resize = cfg.val_dataloader.dataset.pipeline[1]
    assert (resize.type, resize.scale) == ('Resize', (384, 384))  # no crop
    model = build(cfg, 'meta')
    assert model.backbone.stages[0].blocks[0].attn.window == (12, 12)


def train_step(cfg: Config, size: int) -> dict[str, float]:
    torch.manual_seed(0)
    model = build(cfg).train()
    data = {
        'inputs': torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8),
        'data_samples': [DataSample().set_gt_label(i) for i in (1, 3)],
    }
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model(**model.data_preprocessor(data, True), mode='loss')
    total, logs = model.parse_losses(losses)
    total.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)
    return {name: float(value) for name, value in logs.items()}


FAST = [
    'swinvit/swinvit_1xb128_cifar10',
    'swinvit/swinvit_1xb128-published_cifar10',
    'experiments/swinvit-timm_cifar10-1h',
    'experiments/sparseswin-t-32px_cifar10-1h',
]


@pytest.mark.parametrize('name', FAST)
def test_trains_a_step(name):
    loss = train_step(load(name), 32)['loss']
    assert math.log(10) * 0.5 < loss < math.log(10) * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    'path', [p for p in CONFIGS if str(p.relative_to(FOLDER))[:-3] not in FAST], ids=lambda p: p.stem
)
def test_every_other_config_trains_a_step(path):
    cfg = Config.fromfile(path)
    size = 384 if '384px' in path.stem else 32 if '32px' in path.stem or 'swinvit' in path.stem else 224
    size = 64 if 'quickstart' in path.stem else size
    classes = cfg.model.get('head', cfg.model).num_classes
    # A head that starts at zero gives exactly the logarithm of the number of classes.
    assert train_step(cfg, size)['loss'] == pytest.approx(math.log(classes), rel=0.5)


def test_the_metafiles_list_all_models_with_their_parameters():
    models = [m for f in FAMILIES for m in yaml.safe_load((FOLDER / f / 'metafile.yml').read_text())['Models']]
    listed = {m['Config']: m['Metadata'] for m in models if not m['Config'].endswith('_coco.py')}
    wanted = [path for path in CONFIGS if path.parent.name != 'experiments']
    assert sorted(listed) == sorted(str(path.relative_to(ROOT)) for path in wanted)
    for path in wanted[::4]:
        metadata, cfg = listed[str(path.relative_to(ROOT))], Config.fromfile(path)
        assert metadata['Parameters (M)'] == round(parameters(build(cfg, 'meta')) / 1e6, 1)
        assert metadata['Epochs'] == cfg.train_cfg.max_epochs
