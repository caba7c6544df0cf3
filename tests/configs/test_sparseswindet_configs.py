"""The SparseSwinDet configs: published counts, recipe, and that the mended ones differ by the listed faults alone."""

from itertools import product
from pathlib import Path

import pytest
import torch
import yaml
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmsparseswin.benchmark.sparse_swin_det import FAULTS, settings
from mmsparseswin.cli.config_check import check_settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / 'configs/sparseswin'
SIZES = list(product('tsb', (384, 512)))
TOKENS = {'t': (49, 512), 's': (64, 768), 'b': (81, 1024)}
# docs/models/sparse_swin_det.md, 'Parameters': used, and all that the published module holds.
PARAMETERS = {
    ('t', 384): (28_089_765, 44_226_877),
    ('t', 512): (28_341_205, 44_478_317),
    ('s', 384): (45_131_380, 61_268_492),
    ('s', 512): (45_504_228, 61_641_340),
    ('b', 384): (68_504_517, 84_641_629),
    ('b', 512): (68_999_669, 85_136_781),
}
ANCHORS = {384: 27_621, 512: 49_104}
NAMES = [f'sparseswindet_{arch}_{side}{end}_coco' for (arch, side), end in product(SIZES, ('', '-mended'))]


def config(name: str) -> Config:
    init_default_scope('mmdet')
    return Config.fromfile(FOLDER / f'{name}.py')


def count(module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_family_is_whole_and_listed():
    assert sorted(p.stem for p in FOLDER.glob('sparseswindet_*.py')) == sorted(NAMES)
    models = yaml.safe_load((FOLDER / 'metafile.yml').read_text())['Models']
    listed = {m['Name']: m for m in models if m['Name'].startswith('sparseswindet')}
    assert set(listed) == set(NAMES)
    page = (FOLDER / 'README.md').read_text()
    for name in NAMES:
        assert listed[name]['Config'] == f'configs/sparseswin/{name}.py'
        assert f'({name}.py)' in page


@pytest.mark.parametrize(('arch', 'side'), SIZES)
@pytest.mark.parametrize('end', ['', '-mended'])
def test_parameters_anchors_and_maps(arch, side, end):
    name = f'sparseswindet_{arch}_{side}{end}_coco'
    cfg = config(name)
    check_settings(cfg)
    with torch.device('meta'):
        model = MODELS.build(cfg.model).eval()
        scores, boxes = model(torch.empty(1, 3, side, side), mode='tensor')
    assert [tuple(m.shape[1:]) for m in scores] == [(720, side // s, side // s) for s in (8, 16, 32, 64, 128)]
    assert sum(m[0].numel() for m in boxes) == 4 * ANCHORS[side]
    settings_of_arch = cfg.model.backbone.arch
    assert (settings_of_arch.num_tokens, settings_of_arch.token_dims) == TOKENS[arch]
    models = yaml.safe_load((FOLDER / 'metafile.yml').read_text())['Models']
    (listed,) = (m['Metadata']['Parameters (M)'] for m in models if m['Name'] == name)
    assert listed == round(count(model) / 1e6, 1)
    if not end:
        used, held = PARAMETERS[arch, side]
        assert (count(model) - count(model.unused), count(model)) == (used, held)


def test_each_part_has_the_published_count():
    with torch.device('meta'):
        model = MODELS.build(config('sparseswindet_t_384_coco').model)
    backbone, neck, head = model.backbone, model.neck, model.bbox_head
    stage = backbone.stages[3]
    assert count(backbone.patch_embed) + sum(count(s) for s in backbone.stages[:3]) == 12_151_242
    assert (count(stage.convert), count(stage.lin_t), count(stage.token_to_map)) == (1_769_984, 28_273, 397_456)
    assert sum(count(block.attn) for block in stage.blocks) == 4_196_352
    assert sum(count(block.mlp) for block in stage.blocks) == 8_398_848
    assert (sum(count(b.norm1) + count(b.norm2) for b in stage.blocks), count(stage.norm)) == (8_192, 1_024)
    assert (count(neck.laterals) + count(neck.extra), count(neck.layers)) == (401_728, 78_886)
    assert (count(head.reg_convs) + count(head.retina_reg), count(head.cls_convs) + count(head.retina_cls)) == (
        131_556,
        526_224,
    )
    assert count(model.unused) == 16_137_112


@pytest.mark.parametrize(('arch', 'side'), SIZES)
def test_the_recipe_is_the_published_one(arch, side):
    cfg = config(f'sparseswindet_{arch}_{side}_coco')
    assert dict(cfg.optim_wrapper.optimizer) == dict(type='Adam', lr=1e-4)
    assert cfg.optim_wrapper.clip_grad == dict(max_norm=0.1)
    (plateau,) = cfg.param_scheduler
    assert (plateau.type, plateau.patience) == ('mmsparseswin.TrainLossPlateauLR', 3)
    assert (cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size) == (500, 8)
    kinds = [t['type'] for t in cfg.train_dataloader.dataset.pipeline]
    assert kinds == ['mmsparseswin.LoadImageFromFile', 'LoadAnnotations', 'Resize', 'RandomFlip', 'PackDetInputs']
    pipelines = cfg.train_dataloader.dataset.pipeline + cfg.val_dataloader.dataset.pipeline
    assert [t['scale'] for t in pipelines if 'scale' in t] == [(side, side)] * 2
    assert cfg.model.data_preprocessor.pad_size_divisor == cfg.model.backbone.img_size == side
    assert cfg.find_unused_parameters


@pytest.mark.parametrize(('arch', 'side'), SIZES)
def test_the_mended_recipe_warms_up_decays_and_jitters(arch, side):
    cfg = config(f'sparseswindet_{arch}_{side}-mended_coco')
    assert [s['type'] for s in cfg.param_scheduler] == ['LinearLR', 'CosineAnnealingLR']
    assert (cfg.optim_wrapper.optimizer.type, cfg.optim_wrapper.optimizer.weight_decay) == ('AdamW', 0.05)
    jitter, crop = cfg.train_dataloader.dataset.pipeline[2:4]
    assert (jitter.scale, jitter.ratio_range, crop.crop_size) == ((side, side), (0.5, 1.5), (side, side))
    assert cfg.model.backbone.img_size == side
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    wrapper = Runner.build_optim_wrapper(type('R', (), {'model': model})(), cfg.optim_wrapper)
    decay = {id(p): group['weight_decay'] > 0 for group in wrapper.optimizer.param_groups for p in group['params']}
    for name, p in model.named_parameters():
        assert decay[id(p)] == (p.dim() > 1 and 'relative_position_bias_table' not in name), name


def changed(mended: Config, faults: list[str], base: Config) -> Config:
    for name in faults:
        mended.merge_from_dict({k: v for k, v in settings(name, base).items() if k.startswith('model.')})
    return mended


@pytest.mark.parametrize(
    ('mended', 'published'),
    [
        ('quickstart/sparseswindet_shapes', 'quickstart/sparseswindet-published_shapes'),
        *(
            (f'sparseswin/sparseswindet_{a}_{s}-mended_coco', f'sparseswin/sparseswindet_{a}_{s}_coco')
            for a, s in SIZES
        ),
    ],
)
def test_all_faults_together_make_the_published_model(mended, published):
    cfg = Config.fromfile(ROOT / f'configs/{mended}.py')
    wanted = Config.fromfile(ROOT / f'configs/{published}.py').model.to_dict()
    found = changed(cfg, list(FAULTS), Config.fromfile(ROOT / f'configs/{mended}.py')).model.to_dict()
    assert found == wanted


def test_each_fault_is_one_change_of_the_slim_model_or_recipe():
    path = ROOT / 'configs/quickstart/sparseswindet_shapes.py'
    published = settings('published', Config.fromfile(path))
    alone = [settings(name, Config.fromfile(path)) for name in FAULTS]
    assert sum(map(len, alone)) == len(published)  # no two faults touch one setting
    for name in FAULTS:
        cfg = changed(Config.fromfile(path), [name], Config.fromfile(path))
        with torch.device('meta'):
            MODELS.build(cfg.model)
