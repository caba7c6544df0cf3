import json
import subprocess
import sys
from functools import partial

import pytest
import torch

from mmsparseswin.layers import processor as module
from mmsparseswin.layers.processor import Ratios, Report, processor

AVX2 = Report('AMD EPYC 7763', 'AVX2', onednn=True, bfloat16=False, bfloat16_instructions=False)
AVX512 = Report('Intel Xeon 6154', 'AVX512', onednn=True, bfloat16=True, bfloat16_instructions=False)
AVX512_BF16 = Report('AMD EPYC 9655', 'AVX512', onednn=True, bfloat16=True, bfloat16_instructions=True)


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Let the processor report and measure what is given; returns the number of measurements."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    taken = []

    def set_answers(report, ratios):
        processor.cache_clear()
        monkeypatch.setattr(module, 'read_report', lambda: report)
        monkeypatch.setattr(module, '_measure', lambda _: taken.append(1) or ratios)
        return taken

    yield set_answers
    processor.cache_clear()


@pytest.mark.parametrize(
    ('report', 'ratio', 'precision'),
    [
        (AVX2, 0.0, 'float32'),
        (AVX512, 0.4, 'float32'),  # products in bfloat16 exist, and are slower
        (AVX512, 1.9, 'bfloat16'),
        (AVX512_BF16, 0.0, 'bfloat16'),
    ],
)
def test_bfloat16_is_chosen_where_it_pays(fake, report, ratio, precision):
    fake(report, Ratios(bfloat16=ratio, onednn=1.5))
    assert processor().precision == precision
    assert str(processor()).startswith(f'{precision}: {report.name}, {report.capability}, ')


@pytest.mark.parametrize(('ratio', 'pays'), [(0.9, False), (2.2, True)])
def test_onednn_is_chosen_where_it_is_faster(fake, ratio, pays):
    fake(AVX2, Ratios(bfloat16=0.0, onednn=ratio))
    assert processor().onednn_linear is pays


def test_a_build_without_onednn_uses_none(fake):
    fake(AVX2._replace(onednn=False), Ratios(0.0, 9.0))
    assert not processor().onednn_linear


def test_a_measurement_is_taken_once_per_kind_of_processor(fake):
    taken = fake(AVX2, Ratios(0.0, 1.5))
    first = processor()
    fake(AVX2, Ratios(0.0, 0.5))  # another process, in which the machine is busy
    assert processor() == first
    assert len(taken) == 1
    fake(AVX512, Ratios(0.3, 0.5))
    assert not processor().onednn_linear
    assert len(taken) == 2


@pytest.mark.parametrize('text', ['', 'not json', '[]', '{"a": 1}', '{"a": {"bfloat16": 1}}'])
def test_a_damaged_cache_is_measured_anew(fake, tmp_path, text):
    (tmp_path / 'mmsparseswin').mkdir()
    file = tmp_path / 'mmsparseswin' / 'processors.json'
    file.write_text(text)
    taken = fake(AVX2, Ratios(0.0, 1.5))
    assert processor().onednn_linear
    assert len(taken) == 1
    assert len(json.loads(file.read_text())) == 1


def test_a_cache_folder_that_cannot_be_written_is_no_error(fake, tmp_path):
    (tmp_path / 'mmsparseswin').write_text('a file where the folder should be')
    fake(AVX2, Ratios(0.0, 1.5))
    assert processor().onednn_linear


def test_the_measurement_leaves_threads_and_modes_alone(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    threads = torch.get_num_threads()
    with torch.inference_mode(), torch.autocast('cpu', torch.bfloat16), torch.device('meta'):
        ratios = module._measure(AVX512._replace(onednn=module.read_report().onednn))
        assert torch.is_inference_mode_enabled()
    assert torch.get_num_threads() == threads
    assert (ratios.onednn > 0) == (ratios.bfloat16 > 0) == module.read_report().onednn


def test_a_processor_of_which_the_newest_instructions_are_hidden_reports_none():
    code = 'from mmsparseswin.layers.processor import read_report; print(*read_report()[1:])'
    masked = dict(ONEDNN_MAX_CPU_ISA='AVX2', ATEN_CPU_CAPABILITY='avx2', PATH='/usr/bin')
    run = partial(subprocess.run, capture_output=True, text=True, check=True)
    capability, _, bfloat16, instructions = run([sys.executable, '-c', code], env=masked).stdout.split()[-4:]
    if 'avx2' in torch.backends.cpu.get_cpu_capability().lower() or 'AVX512' in torch.backends.cpu.get_cpu_capability():
        assert (capability, bfloat16, instructions) == ('AVX2', 'False', 'False')
