import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmsparseswin.cli import run_config
from mmsparseswin.engine import precision as module
from mmsparseswin.engine.precision import PrecisionOptimWrapper, choose_precision
from mmsparseswin.errors import InputError
from mmsparseswin.layers.processor import Processor, Ratios, Report

OURS = 'mmsparseswin.PrecisionOptimWrapper'
AMP = dict(type='AmpOptimWrapper', loss_scale='dynamic')


@pytest.fixture(params=['float32', 'bfloat16'])
def fast(request, monkeypatch):
    """The precision that the (faked) processor does better in."""
    half = request.param == 'bfloat16'
    report = Report('a processor', 'AVX512' if half else 'AVX2', True, half, half)
    chosen = Processor(report, Ratios(0.0, 1.0), request.param, onednn_linear=False)
    monkeypatch.setattr(module, 'processor', lambda: chosen)
    monkeypatch.setattr(module, 'get_device', lambda: 'cpu')
    monkeypatch.setattr(run_config, 'get_device', lambda: 'cpu')
    monkeypatch.delenv('MMSPARSESWIN_PRECISION', raising=False)
    return request.param


@pytest.fixture(params=[True, False], ids=['bf16-gpu', 'old-gpu'])
def gpu(request, monkeypatch):
    """A (faked) GPU, with or without bfloat16."""
    monkeypatch.setattr(module, 'get_device', lambda: 'cuda')
    monkeypatch.setattr(run_config, 'get_device', lambda: 'cuda')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda: 'a GPU')
    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda including_emulation: request.param)
    monkeypatch.delenv('MMSPARSESWIN_PRECISION', raising=False)
    return request.param


def wrapper(given, amp):
    """What set_precision makes of a config's wrapper."""
    cfg = Config(dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), **given)))
    run_config.set_precision(cfg, amp)
    found = dict(cfg.optim_wrapper)
    del found['optimizer']
    return found


def types(wanted):
    """Type of a product inside the wrapper's context, and the wrapper's own word."""
    layer = nn.Linear(4, 4)
    ours = PrecisionOptimWrapper(torch.optim.SGD(layer.parameters(), lr=0.1), precision=wanted)
    with ours.optim_context(layer):
        return layer(torch.ones(2, 4)).dtype, ours.precision


def test_auto_is_what_the_processor_does_better(fast):
    assert types('auto') == (getattr(torch, fast), fast)
    assert choose_precision()[0] == fast


@pytest.mark.parametrize('wanted', ['float32', 'bfloat16'])
def test_an_explicit_choice_wins(fast, wanted):
    assert types(wanted) == (getattr(torch, wanted), wanted)
    assert ('as asked for' in choose_precision(wanted)[1]) == (wanted != fast)
    assert ('slow here' in choose_precision(wanted)[1]) == (wanted == 'bfloat16' != fast)


def test_an_unknown_precision_is_refused():
    with pytest.raises(InputError, match=r'fp16.*choose one of auto, bfloat16, float32'):
        types('fp16')


@pytest.mark.parametrize(
    ('given', 'default', 'amp', 'no_amp'),
    [
        (dict(type=OURS, precision='auto'), 'auto', 'bfloat16', 'float32'),
        (dict(type=OURS, precision='bfloat16'), 'bfloat16', 'bfloat16', 'float32'),
        (dict(type='OptimWrapper'), None, 'bfloat16', None),
        (dict(), None, 'bfloat16', None),
        (AMP, 'auto', 'bfloat16', 'float32'),  # float16 is meant, which a CPU does not have
        (dict(type='AmpOptimWrapper', dtype='bfloat16'), 'bfloat16', 'bfloat16', 'float32'),
    ],
)
def test_options_and_configs_on_a_cpu(fast, given, default, amp, no_amp):
    for option, expected in ((None, default), (True, amp), (False, no_amp)):
        assert wrapper(given, option) == (given if expected is None else dict(type=OURS, precision=expected))


@pytest.mark.parametrize('given', [dict(type=OURS, precision='auto'), dict(type='OptimWrapper'), AMP])
@pytest.mark.parametrize('wanted', ['auto', 'bfloat16', 'float32'])
def test_the_variable_wins_over_the_config_and_loses_to_the_options(fast, monkeypatch, given, wanted):
    monkeypatch.setenv('MMSPARSESWIN_PRECISION', wanted)
    same = given['type'] == 'OptimWrapper' and wanted == 'float32'
    assert wrapper(given, None) == (given if same else dict(type=OURS, precision=wanted))
    assert wrapper(given, True) == dict(type=OURS, precision='bfloat16')
    assert run_config.tests_in_half(None) == (wanted == 'bfloat16' or (wanted == 'auto' and fast == 'bfloat16'))
    assert not run_config.tests_in_half(False)


def test_a_mistyped_variable_is_refused(fast, monkeypatch):
    monkeypatch.setenv('MMSPARSESWIN_PRECISION', 'half')
    with pytest.raises(InputError, match='MMSPARSESWIN_PRECISION=half'):
        wrapper({}, None)


def test_predictions_are_float32_unless_asked(fast):
    assert not run_config.tests_in_half(None)
    assert run_config.tests_in_half(True)


def test_a_gpu_decides_by_its_own_bfloat16(gpu):
    assert choose_precision()[0] == ('bfloat16' if gpu else 'float32')
    auto = dict(type=OURS, precision='auto')
    assert wrapper(auto, None) == auto
    assert wrapper(auto, True) == (dict(type=OURS, precision='bfloat16') if gpu else AMP)
    assert wrapper(AMP, None) == wrapper(dict(type='OptimWrapper'), True) == AMP
    assert wrapper(AMP, False) == dict(type=OURS, precision='float32')


def test_amp_needs_a_wrapper_that_it_knows(fast):
    assert wrapper(dict(type='ApexOptimWrapper'), None) == dict(type='ApexOptimWrapper')
    with pytest.raises(InputError, match='ApexOptimWrapper'):
        wrapper(dict(type='ApexOptimWrapper'), True)
