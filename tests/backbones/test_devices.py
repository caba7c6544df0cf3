"""Backbones on a device that is no CPU, without having one."""

from collections.abc import Iterator

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._pytree import tree_map_only

from mmsparseswin import create_model
from mmsparseswin.layers import cross_attention, neighbourhoods, resize, windows

MODELS = ['swin-tiny', 'sparseswin-tiny', 'stvitr-tiny', 'stvitr-det-tiny', 'stvitr-sparta-tiny']
SIZES = [(224, 224), (225, 321)]
TABLES = (windows.window_plan, neighbourhoods.unit_plan, cross_attention._bias_index, resize.resize_matrix)


@pytest.fixture
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tensors know their device, type and shape only, and refuse to meet one of another device."""
    mode = FakeTensorMode()
    for module in (windows, neighbourhoods):  # whose makers read numbers

        def make_real(*args, make=module._make_plan):
            with unset_fake_temporarily() as outer:
                plan = make(*args)
            return plan if outer is None else tree_map_only(torch.Tensor, mode.from_tensor, plan)

        monkeypatch.setattr(module, '_make_plan', make_real)
    for table in TABLES:
        table.cache_clear()
    with mode:
        yield
    for table in TABLES:
        table.cache_clear()


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize('size', SIZES, ids=str)
@pytest.mark.parametrize('name', MODELS)
def test_inference_stays_on_the_gpu_of_its_weights(fake_gpu, name, size, dtype):
    torch.set_default_dtype(dtype)  # fake parameters cannot be cast
    try:
        with torch.device('cuda'):
            model = create_model(name).eval()
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.no_grad():
        outs = model(torch.rand(2, 3, *size, device='cuda', dtype=dtype))
    assert {(out.device.type, out.dtype) for out in outs} == {('cuda', dtype)}


@pytest.mark.parametrize('with_cp', [False, True, 'light'])
@pytest.mark.parametrize('name', MODELS)
def test_training_takes_no_step_that_only_a_cpu_has(name, with_cp):
    with torch.device('meta'):
        model = create_model(name, with_cp=with_cp).train()
    outs = model(torch.rand(2, 3, 225, 321, device='meta'))
    sum(out.sum() for out in outs).backward()
    assert {out.device.type for out in outs} == {'meta'}
    assert all(p.grad is not None for p in model.parameters())
