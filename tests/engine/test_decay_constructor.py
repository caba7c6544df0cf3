"""The constructor's rule against rules written out by hand, over real configs, and its learning rates by depth."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmsparseswin.backbones import SparseSwin
from mmsparseswin.errors import InputError

CONFIGS = Path(__file__).parents[2] / 'configs'
TABLES = {key: dict(decay_mult=0.0) for key in ('absolute_pos_embed', 'relative_position_bias_table')}
BY_HAND = dict(norm_decay_mult=0.0, bias_decay_mult=0.0)
WITH_VECTORS = dict(**BY_HAND, flat_decay_mult=0.0, custom_keys=TABLES)
ARCH = dict(
    embed_dims=16, depths=(1, 1, 1), num_heads=(1, 2, 4), num_tokens=9, token_dims=32, token_heads=4, token_depth=1
)


def groups(model: nn.Module, options: dict) -> dict[str, tuple[float, float]]:
    """Name -> learning rate and weight decay in the optimizer that training would use."""
    options = {key: value for key, value in options.items() if key != 'precision'} | {'type': 'OptimWrapper'}
    optimizer = build_optim_wrapper(model, options).optimizer
    found = {id(p): (group['lr'], group['weight_decay']) for group in optimizer.param_groups for p in group['params']}
    return {name: found[id(p)] for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ('file', 'rule'),
    [
        ('sparseswin/sparseswin-t_1xb128_cifar10', WITH_VECTORS),
        ('sparseswin/sparseswin-t_16xb64_in1k', WITH_VECTORS),
        ('stvit_r/stvit-r-t_16xb64_in1k', WITH_VECTORS),
        ('swin/swin-t_16xb64_in1k', WITH_VECTORS),
        ('experiments/swinvit-timm_cifar10-1h', WITH_VECTORS),
        ('ssd/ssd_r50-a_none_coco', BY_HAND),
    ],
)
def test_configs_decay_by_the_rule_written_out(file, rule):
    cfg = Config.fromfile(CONFIGS / f'{file}.py')
    assert cfg.optim_wrapper.constructor == 'mmsparseswin.DecayConstructor'
    init_default_scope(cfg.default_scope)
    preprocessor = cfg.get('data_preprocessor', cfg.model.get('data_preprocessor'))
    with torch.device('meta'):
        model = MODELS.build(dict(cfg.model, data_preprocessor=preprocessor))
    by_hand = {k: v for k, v in cfg.optim_wrapper.items() if k != 'constructor'} | {'paramwise_cfg': rule}
    expected = groups(model, by_hand)
    assert groups(model, cfg.optim_wrapper) == expected
    assert {decay > 0 for _, decay in expected.values()} == {True, False}


class Wrapped(nn.Module):
    """A backbone where detectors and classifiers have theirs, and a head."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(4, 4)


def options(**paramwise) -> dict:
    optimizer = dict(type='AdamW', lr=1.0, weight_decay=0.1)
    return dict(optimizer=optimizer, constructor='mmsparseswin.DecayConstructor', paramwise_cfg=paramwise)


@pytest.fixture(scope='module')
def model() -> Wrapped:
    return Wrapped(SparseSwin(arch=ARCH, img_size=64, window_size=4, use_abs_pos_embed=True))


def test_the_backbone_names_what_does_not_decay(model):
    found = groups(model, options())
    still = {f'backbone.{name}' for name in model.backbone.no_weight_decay()} | {'head.bias'}
    assert 'backbone.absolute_pos_embed' in still
    assert {name for name, (_, decay) in found.items() if decay == 0} == still & set(found)
    assert {rate for rate, _ in found.values()} == {1.0}


def test_custom_keys_count_more(model):
    found = groups(model, options(custom_keys={'absolute_pos_embed': dict(decay_mult=0.5)}))
    assert found['backbone.absolute_pos_embed'] == (1.0, 0.05)


def test_learning_rates_fall_with_depth(model):
    found = groups(model, options(layer_decay=0.5, custom_keys={'head': dict(lr_mult=10.0)}))
    for name, (rate, _) in found.items():
        depth, count = model.backbone.get_layer_depth(name, 'backbone.')
        assert rate == pytest.approx(0.5 ** (count - 1 - depth) * (10 if name.startswith('head') else 1)), name
    assert found['head.weight'][0] == 10.0
    assert found['backbone.absolute_pos_embed'][0] == min(rate for rate, _ in found.values()) < 0.1


@pytest.mark.parametrize('wrong', [0, -0.5, 1.5, 'much'])
def test_a_wrong_layer_decay_is_an_error(model, wrong):
    with pytest.raises(InputError, match='layer_decay='):
        groups(model, options(layer_decay=wrong))


def test_a_backbone_without_depths_has_no_layer_decay():
    plain = Wrapped(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    assert groups(plain, options())['backbone.1.weight'] == (1.0, 0.0)
    assert groups(plain, options())['backbone.0.weight'] == (1.0, 0.1)
    with pytest.raises(InputError, match='no depths'):
        groups(plain, options(layer_decay=0.7))
