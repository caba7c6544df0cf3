import importlib.util

import pytest
import torch
from torch import nn

from mmsparseswin.benchmark import comparison, engines
from mmsparseswin.benchmark.cases import best_baseline, parse_cases
from mmsparseswin.benchmark.comparison import Settings
from mmsparseswin.benchmark.sizes import Size
from mmsparseswin.errors import InputError


def test_a_suffix_says_what_runs_a_model():
    (case,) = parse_cases('timm:swin-t@bf16@openvino', ['fp32'])
    assert (case.precision, case.mode, str(case)) == ('bf16', 'openvino', 'timm:swin-t@bf16@openvino')
    (ours,) = parse_cases('swin-tiny@onnxruntime', ['fp32'], compiled=True)
    assert ours.mode == 'onnxruntime'
    assert ours.is_baseline
    assert not ours.is_of_library
    assert not parse_cases('swin-tiny@inductor', ['fp32'])[0].is_baseline
    with pytest.raises(InputError, match="choose one of \\['openvino', 'eager'\\]"):
        parse_cases('swin-tiny@openvino@eager', ['fp32'])


def test_runtimes_are_baselines_of_every_mode():
    names = 'swin-tiny swin-tiny@compiled timm:swin-t@compiled timm:swin-t swin-tiny@openvino timm:swin-t@inductor'
    cases = [parse_cases(name, ['fp32'])[0] for name in names.split()]
    variants = dict.fromkeys(cases, 't')

    def best(seconds, ours):
        return str(best_baseline(dict(zip(cases, seconds, strict=True)), variants, cases[ours]))

    assert best([1, 1, 2, 3, 4, 5], 0) == 'timm:swin-t@fp32'
    assert best([1, 1, 2, 3, 4, 5], 1) == 'timm:swin-t@fp32@compiled'
    assert best([9, 9, 6, 6, 4, 5], 0) == best([9, 9, 6, 6, 4, 5], 1) == 'swin-tiny@fp32@openvino'
    assert best([9, 9, 6, 6, 5, 4], 0) == 'timm:swin-t@fp32@inductor'


@pytest.mark.parametrize(
    ('mode', 'training', 'output', 'device', 'words'),
    [
        ('openvino', True, 'maps', 'cpu', '@openvino has no training'),
        ('inductor', False, 'whole', 'cpu', '@inductor has no whole detectors'),
        ('onnxruntime', False, 'maps', 'cuda', 'use --device cpu'),
    ],
)
def test_what_a_runtime_lacks_is_refused_in_words(mode, training, output, device, words):
    with pytest.raises(InputError, match=words):
        engines.require_supported(mode, training, output, device)
    engines.require_supported('compiled', training, output, device)


@pytest.mark.parametrize('mode', engines.FOREIGN)
def test_a_runtime_gives_the_numbers_of_eager(mode):
    case = parse_cases(f'swin-tiny@{mode}', ['fp32'])[0]
    entry = comparison.prepare(case, Size.parse('2x64x64'), Settings())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        (expected,), (found,) = entry.model(x), entry.called(x)
    assert found.shape == (2, 768)
    assert (found - expected).abs().max() < 1e-4
    assert entry.macs > 0
    assert entry.variant == 't'


def test_other_numbers_than_eager_are_not_timed(monkeypatch):
    monkeypatch.setitem(engines._ENGINES, 'openvino', lambda model, x, precision: lambda images: model(images) + 0.1)
    with pytest.raises(RuntimeError, match=r'openvino differs from eager PyTorch by 0\.1'):
        engines.callable_of(nn.Linear(3, 2).eval(), 'openvino', torch.ones(1, 3), torch.float32)


def test_a_runtime_that_is_not_installed_is_left_out_with_the_reason(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None if name == 'openvino' else find_spec(name))
    pairs = [(parse_cases(f'swin-tiny{mode}', ['fp32'])[0], Size.parse('1x32x32')) for mode in ('', '@openvino')]
    entries, left_out = comparison.prepare_all(pairs, Settings())
    assert [str(e.case) for e in entries] == ['swin-tiny@fp32']
    assert 'openvino' in left_out['swin-tiny@fp32@openvino 1x32x32']


def test_a_type_that_a_runtime_lacks_is_left_out():
    with pytest.raises(RuntimeError, match='no bf16 kernels'):
        engines.callable_of(nn.Linear(3, 2).eval(), 'onnxruntime', torch.ones(1, 3), torch.bfloat16)
