"""A training that diverges or has nothing to do ends in one line; good checkpoints stay."""

import pytest
import torch
from test_bad_input import only_error

SPOIL = """
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
import torch


@HOOKS.register_module()
class Spoil(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.epoch == 1:
            next(runner.model.backbone.parameters()).data.fill_(float('nan'))
"""


@pytest.mark.parametrize(('patience', 'words'), [(2, 'not finite in 2 iterations in a row'), (99, 'are not finite')])
def test_a_training_that_diverges_keeps_the_last_good_checkpoint(tools, detector, tmp_path, patience, words):
    (tmp_path / 'spoil.py').write_text(SPOIL)
    config = tmp_path / 'diverges.py'
    config.write_text(
        detector.config.read_text()
        + "import sys\nsys.path.insert(0, '.')\n"
        + "custom_imports = dict(imports=['spoil'])\n"
        + "default_hooks['checkpoint']['max_keep_ckpts'] = 1\n"
        + f"custom_hooks = [dict(type='Spoil'), dict(type='mmsparseswin.DivergenceHook', patience={patience})]\n"
    )
    options = ['--work-dir', 'run', '--no-validate', '--epochs', '3']
    error = only_error(tools.run('train.py', config, *options, cwd=tmp_path))
    assert 'the training diverged' in error
    assert words in error
    assert 'epoch_1.pth' in error
    assert [path.name for path in (tmp_path / 'run').glob('*.pth')] == ['epoch_1.pth']
    weights = torch.load(tmp_path / 'run' / 'epoch_1.pth', weights_only=False)['state_dict']
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['train_cfg.max_epochs=0'], 'train_cfg.max_epochs is 0: it must be'),
        (['train_dataloader.batch_size=500', 'train_dataloader.drop_last=True'], '0 iterations: 5 images give no'),
    ],
)
def test_a_training_with_nothing_to_do_is_refused(tools, detector, tmp_path, options, words):
    schedule = "param_scheduler = [dict(type='LinearLR', start_factor=0.1, end=1, convert_to_iter_based=True)]\n"
    config = tmp_path / 'nothing.py'
    config.write_text(detector.config.read_text() + schedule)
    assert words in only_error(tools.run('train.py', config, '--cfg-options', *options, cwd=tmp_path))


@pytest.mark.parametrize('kind', ['detector', 'classifier'])
def test_no_class_to_learn_is_refused(tools, request, tmp_path, kind):
    trained = request.getfixturevalue(kind)
    config = tmp_path / 'none.py'
    text = trained.config.read_text()
    if kind == 'detector':
        text = text.replace("('square', 'disc')", '()').replace('num_classes=2', 'num_classes=0')
    config.write_text(text.replace(repr(str(trained.folder / 'images')), repr(str(tmp_path / 'empty'))))
    (tmp_path / 'empty').mkdir()
    error = only_error(tools.run('train.py', config, cwd=tmp_path))
    assert ('num_classes=0 is too small' if kind == 'detector' else 'no class') in error
