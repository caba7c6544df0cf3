import os
import subprocess
import sys
from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import mmsparseswin
from mmsparseswin.layers import attention, fast_path, patches, semantic_tokens, sparse_stage, swin_block, windows
from mmsparseswin.layers.fast_path import PLAIN, choose
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.patches import PatchMerging
from mmsparseswin.layers.pre_norm import MLP, PreNormBlock
from mmsparseswin.layers.processor import processor
from mmsparseswin.layers.sparse_stage import SparseStage, TokenBlock, TokensToMapAttention
from mmsparseswin.layers.swin_block import SwinBlock


def linear(layer, x, act=None, plus=None):
    """A layer as a block runs it."""
    return fast_path.linear(layer, x, choose(x), act, plus)


@pytest.fixture
def products(monkeypatch):
    """How many products our own path took."""
    if not processor().report.onednn:
        pytest.skip('this PyTorch has no oneDNN')
    monkeypatch.setattr(fast_path, 'processor', lambda: processor()._replace(onednn_linear=True))
    taken, product = [], fast_path._product
    monkeypatch.setattr(fast_path, '_product', lambda *args, **kwargs: taken.append(1) or product(*args, **kwargs))
    return taken


@pytest.mark.parametrize('shape', [(5, 24), (2, 7, 24), (1, 24), (0, 24)])
@pytest.mark.parametrize('bias', [True, False])
def test_linear_and_gelu_without_gradients(products, shape, bias):
    layer, x = nn.Linear(24, 40, bias=bias), torch.randn(shape)
    with torch.no_grad():
        got, activated = linear(layer, x), linear(layer, x, nn.GELU())
    assert len(products) == 2
    expected = F.linear(x.double(), layer.weight.double(), layer.bias.double() if bias else None)
    torch.testing.assert_close(got.double(), expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(activated.double(), F.gelu(expected), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(('inner', 'outer'), [(24, 40), (40, 24)])
@pytest.mark.parametrize('act', [None, nn.GELU()])
def test_gradients_equal_those_of_double_precision(products, inner, outer, act):
    layer, x = nn.Linear(inner, outer), torch.randn(3, 9, inner, requires_grad=True)
    exact = nn.Linear(inner, outer).double()
    exact.load_state_dict(layer.state_dict())
    exact_x = x.detach().double().requires_grad_()
    weight = torch.randn(3, 9, outer)
    (linear(layer, x, act) * weight).sum().backward()
    expected = exact(exact_x)
    ((expected if act is None else act(expected)) * weight).sum().backward()
    assert len(products) == 3
    for got, want in zip((x, *layer.parameters()), (exact_x, *exact.parameters()), strict=True):
        torch.testing.assert_close(got.grad.double(), want.grad, atol=1e-5, rtol=1e-5)


def test_what_is_added_is_added_in_the_same_product(products):
    layer, x, plus = nn.Linear(24, 40), torch.randn(2, 7, 24), torch.randn(2, 7, 40)
    with torch.no_grad():
        assert torch.equal(linear(layer, x, plus=plus), linear(layer, x) + plus)
    assert len(products) == 2
    for act in (None, nn.GELU()):
        expected = (layer(x) if act is None else act(layer(x))) + plus
        torch.testing.assert_close(linear(layer, x, act, plus), expected)


@pytest.mark.parametrize('bias', [True, False])
def test_autocast_chooses_the_type_of_the_product(products, bias):
    if not fast_path._has_primitive(torch.bfloat16):
        pytest.skip('this processor has no bfloat16')
    layer, x, plus = nn.Linear(24, 40, bias=bias), torch.randn(3, 9, 24, requires_grad=True), torch.randn(3, 9, 40)
    with torch.autocast('cpu', torch.bfloat16):
        with torch.no_grad():
            assert linear(layer, x).dtype == linear(layer, x, nn.GELU()).dtype == torch.bfloat16
            assert linear(layer, x, plus=plus).dtype == torch.float32
        assert len(products) == 3
        got, expected = linear(layer, x), layer(x)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got, expected, atol=0.01, rtol=0.01)
    grads = torch.autograd.grad(got.float().square().sum(), (x, *layer.parameters()))
    wanted = torch.autograd.grad(expected.float().square().sum(), (x, *layer.parameters()))
    assert len(products) == 4, "in bfloat16 PyTorch's own products go backward"
    for ours, theirs in zip(grads, wanted, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0.02)


def test_frozen_weights_get_no_gradient(products):
    layer, x = nn.Linear(8, 4), torch.randn(3, 8)
    layer.weight.requires_grad_(False)
    linear(layer, x).sum().backward()
    assert torch.equal(layer.bias.grad, torch.full((4,), 3.0))
    x.requires_grad_()
    linear(layer, x).sum().backward()
    torch.testing.assert_close(x.grad, layer.weight.sum(0).expand(3, 8))
    assert layer.weight.grad is None
    assert len(products) == 2, 'a product was computed that nobody needs'


def test_a_frozen_layer_builds_no_graph(products):
    assert not linear(nn.Linear(8, 4).requires_grad_(False), torch.randn(3, 8), nn.GELU()).requires_grad
    assert len(products) == 1


class Watched(nn.Linear):
    pass


def by_hook(layer, x, called):
    layer.register_forward_hook(lambda *_: called.append(1))
    linear(layer, x)
    assert called, 'the hook was not called'


def by_counter(layer, x, called):
    with FlopCounterMode(display=False) as counter:
        linear(layer, x)
    assert counter.get_total_flops() == 2 * x.numel() * layer.out_features


def by_export(layer, x, called):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return linear(self.layer, x)

    graph = str(torch.export.export(Net(), (x,)).graph)
    assert 'linear' in graph
    assert 'mkldnn' not in graph


def by_vmap(layer, x, called):
    assert torch.vmap(lambda row: linear(layer, row))(x).shape == (5, 4)


def by_backward_hook(layer, x, called):
    layer.register_full_backward_hook(lambda *_: called.append(1))
    with torch.enable_grad():
        linear(layer, x.requires_grad_()).sum().backward()
    assert called, 'the hook was not called'


@pytest.mark.parametrize('watch', [by_hook, by_counter, by_export, by_vmap, by_backward_hook])
def test_whoever_watches_sees_pytorchs_own_operators(products, watch):
    with torch.no_grad():
        watch(nn.Linear(8, 4), torch.randn(5, 8), [])
    assert not products


@pytest.mark.parametrize(
    ('layer', 'x'),
    [
        (Watched(8, 4), torch.randn(5, 8)),
        (nn.Linear(8, 4).double(), torch.randn(5, 8, dtype=torch.float64)),
        (nn.Linear(8, 4, device='meta'), torch.randn(5, 8, device='meta')),
    ],
    ids=['subclass', 'double', 'meta'],
)
def test_what_the_primitive_is_not_for_goes_to_the_module(products, layer, x):
    with torch.no_grad():
        assert linear(layer, x).shape == (5, 4)
    assert not products


def test_a_lora_like_replacement_is_called(products):
    """Adapters replace a linear layer by a module of theirs."""
    with torch.no_grad():
        out = linear(nn.Sequential(nn.Linear(8, 4), nn.Threshold(1e9, 0)), torch.randn(5, 8))
    assert torch.equal(out, torch.zeros(5, 4))
    assert not products


def test_a_part_that_is_called_alone_runs_pytorchs_own_operators(products):
    with torch.no_grad():
        MLP(8, 16)(torch.randn(5, 8))
        fast_path.linear(nn.Linear(8, 4), torch.randn(5, 8))
    assert not products


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('in_place', [False, True])
def test_a_block_of_which_a_part_is_compiled_runs_pytorchs_own_operators(products, training, in_place):
    torch.manual_seed(0)
    block, x = SwinBlock(8, 2, (4, 4)).train(training), torch.randn(1, 64, 8)
    with torch.set_grad_enabled(training):
        expected = block(x, Grid(8, 8))
        assert products
        products.clear()
        compiled = dict(backend='eager', fullgraph=True)
        if in_place:
            block.mlp.compile(**compiled)
        else:
            block.mlp = torch.compile(block.mlp, **compiled)
        torch.testing.assert_close(block(x, Grid(8, 8)), expected)
    assert not products


def test_gradients_by_functorch_of_one_norm_equal_autograds(products):
    """The input is no wrapped tensor, what the norm makes of it is one."""
    block, x = SwinBlock(8, 2, (4, 4)).requires_grad_(False), torch.randn(1, 64, 8)
    weight = torch.randn(1, 64, 8)

    def loss(norm):
        return (torch.func.functional_call(block, {'norm1.weight': norm}, (x, Grid(8, 8))) * weight).sum()

    got = torch.func.grad(loss)(block.norm1.weight.detach())
    assert not products
    block.norm1.weight.requires_grad_()
    (block(x, Grid(8, 8)) * weight).sum().backward()
    torch.testing.assert_close(got, block.norm1.weight.grad)


@pytest.mark.parametrize('name', ['swin-tiny', 'sparseswin-tiny', 'stvitr-tiny', 'stvitr-sparta-tiny'])
@pytest.mark.parametrize('training', [False, True])
def test_each_block_asks_once(monkeypatch, name, training):
    model = mmsparseswin.create_model(name).train(training)
    asked, answer = [], fast_path.choose
    for module in (swin_block, sparse_stage, semantic_tokens, patches):
        monkeypatch.setattr(module, 'choose', lambda *args: asked.append(1) or answer(*args))
    with torch.set_grad_enabled(training):
        model(torch.randn(1, 3, 224, 224))
    blocks = (PreNormBlock, TokenBlock, TokensToMapAttention, SparseStage, PatchMerging)
    assert len(asked) == sum(isinstance(module, blocks) for module in model.modules())


@pytest.fixture
def used(monkeypatch):
    """Names of the fast paths that ran."""
    if not processor().report.onednn:
        pytest.skip('this PyTorch has no oneDNN')
    names = set()

    def spy(owner, name):
        original = getattr(owner, name)

        def call(*args, **kwargs):
            names.add(name)
            return original.apply(*args) if isinstance(original, type) else original(*args, **kwargs)

        # The autograd functions are called by `apply`.
        monkeypatch.setattr(owner, name, SimpleNamespace(apply=call) if isinstance(original, type) else call)

    spy(fast_path, '_product')
    spy(swin_block, 'forward_in_chunks')
    spy(attention, '_Recomputed')
    spy(attention, '_Heads')
    spy(windows, '_Move')
    spy(sparse_stage.SparseStage, '_collect_and_convert')
    monkeypatch.setattr(fast_path, 'processor', lambda: processor()._replace(onednn_linear=True))
    return names


@pytest.mark.parametrize(
    ('name', 'out_type'),
    [
        ('swin-tiny', 'featmap'),
        ('sparseswin-tiny', 'featmap'),
        ('sparseswin-tiny', 'raw'),
        ('stvitr-det-tiny', 'featmap'),
        ('stvitr-tiny', 'avg_featmap'),
    ],
)
@pytest.mark.parametrize('training', [False, True])
def test_without_fast_paths_the_same_numbers_come_out(used, name, out_type, training):
    torch.manual_seed(0)
    model = mmsparseswin.create_model(name, out_type=out_type, drop_path_rate=0.0).train(training)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()  # its statistics must not move between the two runs
    x = torch.randn(1, 3, 200, 235)
    results, ran = [], []
    for enabled in (True, False):
        used.clear()
        model.zero_grad()
        with mmsparseswin.fast_path(enabled), torch.set_grad_enabled(training):
            outs = model(x)
            if training:
                # Not the sum of squares: behind a layer norm its gradient is rounding noise. So is that of a bias
                # which a norm takes out (`lin_t.bias`): `largest` bounds it.
                sum((out * torch.sin(torch.arange(out.numel())).view_as(out)).sum() for out in outs).backward()
        results.append((outs, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}))
        ran.append(set(used))
    expected = {'_product', '_Recomputed'} | ({'_Heads', '_Move'} if training else {'forward_in_chunks'})
    expected |= {'_collect_and_convert'} if name.startswith('sparse') else set()
    assert ran == [expected, set()]
    (fast, fast_grads), (plain, plain_grads) = results
    assert fast_grads.keys() == plain_grads.keys()
    assert bool(fast_grads) == training
    for a, b in zip(fast, plain, strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()
    largest = max((grad.abs().max().item() for grad in plain_grads.values()), default=0)
    for n, grad in plain_grads.items():
        assert (fast_grads[n] - grad).abs().max() <= 3e-4 * max(grad.abs().max().item(), 1e-2 * largest), n


def test_the_switch_is_set_back_after_an_error():
    x = torch.zeros(1)
    with suppress(KeyError), mmsparseswin.fast_path(False):
        assert choose(x) == PLAIN
        raise KeyError
    assert choose(x).enabled


@pytest.mark.parametrize(('value', 'answer'), [('0', 'False'), ('off', 'False'), ('1', 'True')])
def test_an_environment_variable_switches_for_a_process(value, answer):
    code = 'import torch; from mmsparseswin.layers import fast_path as f; print(f.choose(torch.zeros(1)).enabled)'
    environment = {**os.environ, 'MMSPARSESWIN_FAST_PATH': value}
    done = subprocess.run([sys.executable, '-c', code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == answer
