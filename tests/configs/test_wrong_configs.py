"""Wrong numbers and hooks without a type end in one line that names the key."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmsparseswin.cli.config_check import check_settings
from mmsparseswin.errors import InputError

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(p for p in (ROOT / 'configs').rglob('*.py') if '_base_' not in p.parts)
OPTIMIZER = 'optim_wrapper.optimizer'
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
WRONG = [
    *((f'{OPTIMIZER}.{key}', value) for key in ('lr', 'weight_decay') for value in (-1e-4, 'fast', True, float('nan'))),
    *((f'{name}.batch_size', value) for name in LOADERS for value in (0, -1, 1.5, '2', True)),
    *((f'{name}.num_workers', value) for name in LOADERS for value in (-1, 0.5, 'two')),
    *((f'train_cfg.{key}', value) for key in ('max_epochs', 'val_interval') for value in (0, -1, 1.5, 'ten')),
    ('default_hooks.checkpoint', {'interval': 1}),
    ('custom_hooks', [{'priority': 'LOW'}]),
    ('param_scheduler', [{'begin': 0}]),
    *((name, 'text') for name in ('optim_wrapper', OPTIMIZER, 'train_cfg', 'default_hooks', *LOADERS)),
]


@pytest.mark.parametrize(('key', 'value'), WRONG, ids=str)
def test_wrong_setting_is_named(key, value):
    cfg = Config.fromfile(ROOT / 'configs/quickstart/cascade_sparseswin_smoke.py')
    owner, _, last = key.rpartition('.')
    node = cfg
    for name in filter(None, owner.split('.')):
        node = node[name]
    node[last] = value
    with pytest.raises(InputError, match=key):
        check_settings(cfg)


@pytest.mark.parametrize(
    ('key', 'value'),
    [('neck.in_channels', [96, 192, 384, 768]), ('backbone.out_indices', (1, 2)), ('neck.in_channels', [48])],
)
def test_channels_that_do_not_fit_are_named_with_those_that_would(key, value):
    cfg = Config.fromfile(ROOT / 'configs/quickstart/cascade_sparseswin_smoke.py')
    check_settings(cfg)
    right = list(cfg.model.neck.in_channels)
    cfg.merge_from_dict({f'model.{key}': value})
    with pytest.raises(InputError, match=r'model\.neck\.in_channels') as error:
        check_settings(cfg)
    given = right if key.startswith('neck') else [right[index] for index in value]
    assert f'puts out {given}' in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_right_configs_pass(path):
    check_settings(Config.fromfile(path))
