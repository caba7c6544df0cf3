from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from torch import nn

from mmsparseswin.engine import ClipEachTensorHook, EvalModeHook, TrainLossPlateauLR, WarmUpRestartLR
from mmsparseswin.errors import InputError


def test_eval_mode_begins_with_the_second_epoch():
    model = nn.Sequential(nn.Dropout(), nn.Linear(1, 1))
    modes = []
    for epoch in range(3):
        model.train()  # as mmengine's loop does
        EvalModeHook(begin=1).before_train_iter(SimpleNamespace(model=model, epoch=epoch), 0)
        modes.append(model[0].training)
    assert modes == [True, False, False]


@pytest.mark.parametrize('scaled', [False, True])
def test_each_gradient_is_clipped_by_its_own_norm(scaled):
    parameters = [nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(3))]
    optimizer = torch.optim.SGD(parameters[:2], lr=1.0)
    wrapper = OptimWrapper(optimizer)
    ClipEachTensorHook(3.0).before_train(SimpleNamespace(optim_wrapper=wrapper))
    gradients = [torch.full((4,), 5.0), torch.full((2, 3), 0.1)]
    loss = sum((p * g).sum() for p, g in zip(parameters, gradients, strict=False))
    if scaled:  # the loss scaler of AmpOptimWrapper divides before it steps
        scaler = torch.amp.GradScaler('cpu', init_scale=8.0)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
    else:
        wrapper.update_params(loss)
    assert torch.allclose(parameters[0], torch.full((4,), -1.5), atol=1e-4)  # norm 10 -> 3
    assert torch.allclose(parameters[1], -gradients[1])  # below: left alone


def test_a_warm_up_must_fit_into_every_cycle():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(InputError, match='warm_up 5'):
        WarmUpRestartLR(optimizer, periods=[10, 5], warm_up=5, eta_min=0.0)
    scheduler = WarmUpRestartLR(optimizer, periods=[4, 3], warm_up=0, eta_min=0.02)
    rates = []
    for _ in range(9):
        rates.append(round(optimizer.param_groups[0]['lr'], 4))
        optimizer.step()
        scheduler.step()
    assert rates[0] == rates[4] == 0.1
    assert rates[2] == 0.06
    assert rates[7] == rates[8]  # behind the last cycle: as it was


def test_a_plateau_of_the_training_loss_lowers_the_rate_and_survives_a_resume():
    hub = MessageHub.get_instance('plateau of the training loss')
    losses = [(4.0, 2.0), (3.0, 1.0), (2.0, 2.0), (2.5, 2.5), (1.0, 5.0), (1.9, 1.9)]  # means 3, 2, 2, 2.5, 3, 1.9
    oracle_optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    oracle = torch.optim.lr_scheduler.ReduceLROnPlateau(oracle_optimizer, patience=1)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = TrainLossPlateauLR(optimizer, patience=1)
    rates, step = [], 0
    for epoch in losses:
        for loss in epoch:
            hub.update_info('iter', step)
            hub.update_scalar('train/loss', loss)
            step += 1
        scheduler.step()
        oracle.step(sum(epoch) / 2)
        rates.append(optimizer.param_groups[0]['lr'])
        assert rates[-1] == pytest.approx(oracle_optimizer.param_groups[0]['lr'])
        resumed = TrainLossPlateauLR(optimizer, patience=1)
        resumed.load_state_dict(scheduler.state_dict())
        scheduler = resumed
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.01, 0.01, 0.01])
