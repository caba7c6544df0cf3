import pytest
import torch
from mmengine.registry import HOOKS
from torch import nn

from mmsparseswin.checkpoints.training_files import load_or_refuse, load_with_report
from mmsparseswin.engine.checkpoint_guard import CheckpointGuardHook
from mmsparseswin.errors import InputError


def model(width: int = 3, classes: int = 2) -> nn.Module:
    backbone = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width))
    return nn.ModuleDict(dict(backbone=backbone, head=nn.Linear(width, classes)))


def test_the_report_counts_what_was_loaded():
    source, target = model(), model(classes=5)
    state = source.state_dict()
    del state['backbone.1.running_mean']
    state['module.extra'] = torch.zeros(1)  # a DataParallel prefix is taken off
    report = load_with_report(target, state)
    assert report.mismatched == ['head.weight', 'head.bias']
    assert report.missing == ['backbone.1.running_mean']
    assert report.unexpected == ['extra']
    assert report.matched == 5  # Linear 2, BatchNorm weight, bias and running_var; its counter is not counted
    assert torch.equal(target['backbone'][0].weight, source['backbone'][0].weight)
    assert '5 tensors matched, 1 missing (backbone.1.running_mean), 2 of another shape' in str(report)


def test_another_backbone_is_refused_though_the_heads_fit():
    other = nn.ModuleDict(dict(backbone=nn.Conv2d(3, 3, 1), head=nn.Linear(3, 2)))
    with pytest.raises(InputError, match='another architecture: 2 tensors matched'):
        load_or_refuse(model(), {'state_dict': other.state_dict()}, strict=False)
    load_or_refuse(model(), {'state_dict': model(classes=7).state_dict()}, strict=False)
    with pytest.raises(InputError, match='number of classes'):
        load_or_refuse(model(), {'state_dict': model(classes=7).state_dict()}, strict=True)


@pytest.mark.parametrize('checkpoint', [{}, {'state_dict': {}}, {'state_dict': [1]}, {'epoch': 3}])
def test_no_weights_is_an_error(checkpoint):
    with pytest.raises(InputError, match='holds no weights'):
        load_or_refuse(model(), checkpoint, strict=False)


def test_state_dict_hooks_of_the_model_do_their_work():
    target = model()

    def rename(state, prefix, *_):
        for name in [name for name in state if name.startswith('old.')]:
            state[name.replace('old.', 'backbone.')] = state.pop(name)

    target._register_load_state_dict_pre_hook(rename)
    state = {name.replace('backbone.', 'old.'): value for name, value in model().state_dict().items()}
    assert load_or_refuse(target, {'state_dict': state}, strict=True).missing == []


def test_the_hook_is_found_by_its_scoped_name():
    assert isinstance(HOOKS.build(dict(type='mmsparseswin.CheckpointGuardHook', strict=True)), CheckpointGuardHook)
