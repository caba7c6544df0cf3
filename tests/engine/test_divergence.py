import math
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub

from mmsparseswin.engine.checkpoint_saving import SafeCheckpointHook
from mmsparseswin.engine.divergence import DivergenceHook
from mmsparseswin.errors import InputError


@pytest.fixture
def runner(tmp_path):
    model = torch.nn.Linear(2, 2)
    hub = MessageHub.get_instance(f'divergence {tmp_path}')
    return SimpleNamespace(model=model, message_hub=hub, iter=41, work_dir=str(tmp_path))


def test_the_training_stops_after_losses_in_a_row_that_are_not_finite(runner):
    hook = DivergenceHook(patience=3)
    bad = [math.nan, math.inf, -math.inf]
    for loss in [*bad[:2], 1.0, *bad[:2], 0.5]:  # never three in a row
        hook.after_train_iter(runner, 0, outputs={'loss': torch.tensor(loss)})
    runner.message_hub.update_info('last_ckpt', 'run/epoch_4.pth')
    for loss in bad[:2]:
        hook.after_train_iter(runner, 0, outputs={'loss': torch.tensor(loss)})
    with pytest.raises(InputError, match=r'3 iterations in a row, the last of them iteration 42.*run/epoch_4\.pth'):
        hook.after_train_iter(runner, 0, outputs={'loss': torch.tensor(bad[2])})


@pytest.mark.parametrize('save', ['_save_checkpoint_with_step', '_save_best_checkpoint'])
def test_weights_that_are_not_finite_are_not_saved(runner, save):
    with torch.no_grad():
        runner.model.bias[1] = math.nan
    hook = SafeCheckpointHook(interval=1)
    arguments = (1, {}) if save == '_save_checkpoint_with_step' else ({},)
    with pytest.raises(InputError, match=r'1 of 2 tensors are not finite.*bias.*no checkpoint was written before'):
        getattr(hook, save)(runner, *arguments)
