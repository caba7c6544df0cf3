import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmsparseswin import STViTR, Swin
from mmsparseswin.errors import InputError
from mmsparseswin.registry import HOOKS

SLIM = dict(embed_dims=16, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8))


def shares(hook, backbone, iterations):
    """Return the shares of each iteration, as the training loop calls the hook."""
    runner = SimpleNamespace(model=nn.ModuleDict(dict(backbone=backbone)), iter=0)
    hook.before_train(runner)
    found = []
    for runner.iter in iterations:
        hook.before_train_iter(runner, 0)
        found.append(backbone.keep_windows)
        hook.after_train_iter(runner, 0)
    return found


def build(**options):
    return HOOKS.build(dict(type='mmsparseswin.RandomKeepHook', **options))


def test_every_iteration_and_stage_draws_between_the_least_share_and_one():
    backbone = Swin(SLIM)
    drawn = torch.tensor(shares(build(low=(0.2, 0.6, 1, 0.5)), backbone, range(300)))
    assert (drawn[:, 2] == 1).all()
    for stage, low in ((0, 0.2), (1, 0.6), (3, 0.5)):
        column = drawn[:, stage]
        assert low <= column.min() < low + 0.05
        assert 0.95 < column.max() <= 1
        assert column.mean().item() == pytest.approx((1 + low) / 2, abs=0.05)
    assert abs(torch.corrcoef(drawn[:, :2].t())[0, 1]) < 0.2, 'stages draw alike'


def test_the_draw_depends_on_seed_and_iteration_alone():
    whole = shares(build(), Swin(SLIM), range(8))
    torch.manual_seed(5)  # another rank, or a training that goes on at iteration 4
    assert shares(build(), Swin(SLIM), range(4, 8)) == whole[4:]
    assert shares(build(seed=1), Swin(SLIM), range(8)) != whole
    assert len(set(whole)) == 8


def test_the_shares_and_thresholds_of_the_config_come_back():
    backbone = Swin(SLIM, keep_windows=(1, 0.5, 1, 1), keep_threshold=(0, 2, 0, 0))
    drawn = shares(build(), backbone, range(3))
    assert all(one != (1, 0.5, 1, 1) for one in drawn)
    assert backbone.keep_windows == (1, 0.5, 1, 1)
    assert backbone.keep_threshold == (0, 2, 0, 0)


def test_stages_without_windows_stay_whole_and_the_training_step_uses_the_draw():
    backbone = STViTR(dict(SLIM, depths=(2, 2, 6, 2))).train()
    (drawn,) = shares(build(low=0.1), backbone, [3])
    assert drawn[2] == 1
    assert max(drawn[0], drawn[1], drawn[3]) < 1
    counts = []
    hook, runner = build(low=0.1), SimpleNamespace(model=backbone, iter=3)
    hook.before_train(runner)
    hook.before_train_iter(runner, 0)
    backbone.stages[0].blocks[0].register_forward_hook(lambda m, args, out: counts.append(len(args[2].windows)))
    sum(out.mean() for out in backbone(torch.randn(2, 3, 84, 84))).backward()
    assert counts == [2 * math.ceil(drawn[0] * 9)]


def test_mistakes_are_named():
    with pytest.raises(InputError, match='Linear has no backbone with keep_windows'):
        build().attach(nn.Linear(1, 1))
    with pytest.raises(InputError, match='above 0 and up to 1'):
        build(low=0).attach(Swin(SLIM))
