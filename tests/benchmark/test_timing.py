"""Test arithmetic, order and memory of the timing code, independent of the speed of the machine."""

import json
import math
import multiprocessing
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import mmsparseswin
from mmsparseswin.benchmark import baselines, comparison, report, timing
from mmsparseswin.benchmark.cases import Case, best_baseline, build, parse_cases, variant
from mmsparseswin.benchmark.comparison import Entry, Settings
from mmsparseswin.benchmark.sizes import Size
from mmsparseswin.errors import InputError

ROOT = Path(__file__).parents[2]
FP32 = timing.PRECISIONS['fp32']


def recorder(log, name):
    return lambda: log.append(name)


def test_every_round_runs_all_and_the_first_of_one_is_the_last_of_the_next():
    log = []
    steps = {name: recorder(log, name) for name in 'abc'}

    def timer(step):
        step()
        return 1.0

    found = list(timing.rounds(steps, timer, min_rounds=4, seconds=0))
    assert ''.join(log) == 'abcbcacababc'
    assert found == [dict.fromkeys('abc', 1.0)] * 4


@pytest.mark.parametrize(('min_rounds', 'seconds', 'expected'), [(3, 0, 3), (1, 10, 5), (7, 10, 7)])
def test_rounds_go_on_for_the_seconds_of_each(min_rounds, seconds, expected):
    steps = {name: lambda: None for name in 'ab'}
    times = iter([1.0, 3.0, 3.0, 1.0] * 5)  # 4 s a round, 10 s for each of two
    assert len(list(timing.rounds(steps, lambda _: next(times), min_rounds, seconds))) == expected


@pytest.mark.parametrize('values', [[3.0], [1.0, 2.0], [5.0, 1.0, 4.0], [0.1, 0.7, 0.3, 0.2, 0.9, 0.4]])
def test_spread_is_median_and_interpolated_quartiles(values):
    tensor = torch.tensor(values, dtype=torch.float64)
    expected = [float(tensor.quantile(q)) for q in (0.5, 0.25, 0.75)]
    assert timing.Spread.of(values) == pytest.approx(expected)


def test_speedup_is_the_ratio_of_medians_with_quartiles_round_by_round():
    ours, theirs = [1.0, 2.0, 4.0], [2.0, 6.0, 4.0]  # ratios 2, 3, 1
    assert timing.speedup(ours, theirs) == (2.0, 1.5, 2.5)
    assert timing.speedup(theirs, ours).median == 0.5
    with pytest.raises(ValueError):
        timing.speedup(ours, theirs[:2])


@pytest.mark.parametrize('exponent', [0.8, 1.0, 1.3])
def test_growth_is_the_exponent_of_a_power_law(exponent):
    areas = [224**2, 448**2, 896**2, 1792**2]
    assert timing.growth(areas, [3e-7 * area**exponent for area in areas]) == pytest.approx(exponent)


def test_a_matrix_product_counts_two_operations_per_mac_and_multiplies():
    for product in timing.matrix_products(torch.float32, 'cpu'):
        small = timing.MatrixProduct(torch.float32, 'cpu', product.kernel, side=5)
        assert small.flops == 2 * 5**3
        small.step()
        assert str(small) == f'float32 {product.kernel} 5'


def test_peak_memory_sees_a_known_allocation():
    def step():
        a, b = torch.ones(16 * 2**20), torch.ones(12 * 2**20)  # 64 and 48 MiB at once
        a.sum() + b.sum()

    def measure(queue):
        torch.set_num_threads(1)  # a fork has no other threads
        torch.ones(64 * 2**20).sum()  # 256 MiB that are gone
        step()
        queue.put([timing.peak_memory(lambda: None) / 2**20, timing.peak_memory(step) / 2**20])

    context = multiprocessing.get_context('fork')
    queue = context.SimpleQueue()
    process = context.Process(target=measure, args=(queue,))
    process.start()
    nothing, peak = queue.get()
    process.join()
    assert nothing < 4
    assert 111 < peak < 124


def test_an_inference_step_has_no_gradients_and_a_training_step_has_fresh_ones():
    layer = nn.Linear(3, 2)
    seen = []

    def call(x):
        out = layer(x)
        seen.append((layer.training, out.requires_grad))
        return {'maps': [out, (torch.zeros(1), None)]}

    x = torch.ones(4, 3)
    timing.make_step(layer, call, x, FP32, training=False)()
    step = timing.make_step(layer, call, x, FP32, training=True)
    step()
    first = layer.weight.grad.clone()
    step()
    assert seen == [(False, False), (True, True), (True, True)]
    assert first.abs().min() > 0
    assert torch.equal(layer.weight.grad, first)  # not twice as much


def test_autocast_computes_in_its_type():
    layer, types = nn.Linear(3, 2), []

    def call(x):
        types.append(layer(x).dtype)

    timing.make_step(layer, call, torch.ones(1, 3), timing.PRECISIONS['autocast-bf16'], training=False)()
    assert types == [torch.bfloat16]
    assert layer.weight.dtype == torch.float32


def entry(name, times=(), size='1x32x32', macs=10):
    case = parse_cases(name, ['fp32'])[0]
    model = nn.Linear(1, 1)
    which = name[-1] if case.is_baseline else 't'
    return Entry(case, Size.parse(size), model, model, lambda: None, which, macs, list(times))


def test_an_interrupted_comparison_keeps_its_complete_rounds(monkeypatch):
    calls = []

    def timer(step):
        calls.append(step)
        if len(calls) > warm_up + 2 * steps + 1:
            raise KeyboardInterrupt
        return 0.5

    entries = [entry('swin-tiny'), entry('mmdet:swin-t')]
    steps = 2 + len(timing.matrix_products(torch.float32, 'cpu'))
    warm_up = steps
    monkeypatch.setattr(timing, 'time_cpu', timer)
    rates = {}
    with pytest.raises(KeyboardInterrupt):
        comparison.time_interleaved(entries, Settings(min_rounds=9), rates)
    assert [e.times for e in entries] == [[0.5, 0.5]] * 2
    assert set(map(len, rates.values())) == {2}
    assert all(rate == [2 * 2048**3 / 0.5 / 1e9] * 2 for rate in rates.values())


def test_a_record_has_rate_share_of_peak_and_ratios():
    ours, slow = entry('swin-tiny', [2.0, 4.0]), entry('mmdet:swin-t', [9, 9])
    baseline = entry('timm:swin-t', [3.0, 6.0])
    for e in (ours, baseline, slow):
        e.macs = 3 * 10**9
    rates = {'float32 mm 2048': [4.0, 4.0], 'float32 onednn 2048': [8.0, 8.0], 'bfloat16 mm 2048': [99.0, 99.0]}
    settings, peaks = Settings(baselines=['mmdet:swin-t']), {str(ours): dict(peak_memory=7, peak_allocated=5)}
    found = {r['name']: r for r in comparison.records([ours, baseline, slow], settings, rates, peaks)}
    record = found['swin-tiny@fp32']
    assert record['gflops'] == 6 / 3
    assert record['matrix_gflops'] == 8
    assert record['share_of_peak'] == pytest.approx(0.25)
    assert [record['peak_memory'], record['peak_allocated']] == [7, 5]
    assert [found['timm:swin-t@fp32'][key] for key in ('peak_memory', 'peak_allocated')] == [None, None]
    assert record['best_baseline'] == 'timm:swin-t@fp32'
    assert {name: s['median'] for name, s in record['speedups'].items()} == {
        'timm:swin-t@fp32': 1.5,
        'mmdet:swin-t@fp32': 3.0,
    }
    assert json.loads(json.dumps(record)) == record
    settings.training = True
    assert comparison.records([ours], settings, rates, {})[0]['gflops'] == 6
    settings.output = 'whole'  # its heads train on other boxes than are counted in a test
    (whole,) = comparison.records([ours], settings, rates, {})
    assert whole['gflops'] is whole['share_of_peak'] is None


def test_the_best_baseline_is_the_fastest_that_does_the_same():
    names = 'swin-tiny@bf16 mmdet:swin-t@fp32 mmdet:swin-t@autocast-bf16 timm:swin-t@bf16@compiled timm:swin-s@bf16'
    cases = [parse_cases(name, [])[0] for name in names.split()]
    medians = dict(zip(cases, [5.0, 1.0, 4.0, 2.0, 3.0], strict=True))
    variants = dict(zip(cases, 'ttttS', strict=True))
    ours = cases[0]
    assert str(best_baseline(medians, variants, ours)) == 'mmdet:swin-t@autocast-bf16'
    assert str(best_baseline(medians, variants | {ours: ''}, ours)) == 'timm:swin-s@bf16'
    fp16 = Case('swin-tiny', 'fp16')
    assert best_baseline(medians, variants | {fp16: 't'}, fp16) is None


def test_growth_joins_the_sizes_of_each_case():
    sizes = ['1x224x224', '1x448x448', '1x896x896']
    measured = [
        dict(name=name, size=size, median=Size.parse(size).area ** exponent)
        for name, exponent in (('a', 1.0), ('b', 1.2))
        for size in sizes
    ]
    assert comparison.growths(measured) == pytest.approx({'a': 1.0, 'b': 1.2})
    assert comparison.growths(measured[:1]) == {}


def test_suffixes_and_options_of_names():
    both = parse_cases('mmdet:swin-t', ['fp32', 'bf16'], compiled=True)
    assert [str(c) for c in both] == ['mmdet:swin-t@fp32@compiled', 'mmdet:swin-t@bf16@compiled']
    own = parse_cases('swin-tiny:with_cp=True@autocast-bf16@eager', ['fp32'], compiled=True)
    assert own == [Case('swin-tiny:with_cp=True', 'autocast-bf16', 'eager')]
    with pytest.raises(InputError, match=r"'fp8' is unknown; choose one of \['fp32'"):
        parse_cases('swin-tiny@fp8', ['fp32'])


def test_ours_are_built_for_the_comparison():
    model = build('swin-tiny:with_cp=True,window_size=7', Size(1, 64, 64), 'maps')
    assert isinstance(model.model, mmsparseswin.Swin)
    assert all(stage.with_cp for stage in model.model.stages)
    assert model.model.settings['drop_path_rate'] == 0
    assert variant('swin-tiny', model) == 't'
    assert variant('sparseswin-tiny', build('sparseswin-tiny', Size(1, 64, 64), 'pooled')) == ''
    with pytest.raises(InputError, match='not of the form option=value'):
        build('swin-tiny:with_cp', Size(1, 64, 64), 'maps')


@pytest.mark.parametrize('library', ['mmdet', 'mmpretrain', 'timm', 'torchvision'])
def test_check_passes_on_shared_weights_and_refuses_others(library, monkeypatch):
    settings, size = Settings(), Size(1, 224, 256)
    pairs = [(Case('swin-tiny', 'fp32'), size), (Case(f'{library}:swin-t', 'fp32'), size)]
    entries = [comparison.prepare(*case, settings, count=False) for case in pairs]
    comparison.check(entries, settings)
    assert 0 < entries[0].checked[f'{library}:swin-t'] < 1e-4

    def share_and_spoil(baseline, library, ours):
        shared(baseline, library, ours)
        ours.stages[0].blocks[1].attn.relative_position_bias_table.data.neg_()

    shared = baselines.share_weights
    monkeypatch.setattr(baselines, 'share_weights', share_and_spoil)
    with pytest.raises(InputError, match=f'differs from {library}:swin-t by .* cannot be compared'):
        comparison.check(entries, settings)


def test_differences_that_are_no_numbers_are_refused():
    good = (torch.zeros(2),)
    assert baselines.worst_difference((torch.tensor([0.0, -2.0]),), good) == 2
    assert baselines.worst_difference((torch.tensor([0.0, math.nan]),), good) == math.inf
    assert baselines.worst_difference((torch.zeros(3),), good) == math.inf
    with pytest.raises(InputError):
        baselines.require_equal('a', 'b', math.nan, 1.0)


def test_baselines_that_cannot_take_part_are_left_out_and_ours_may_not_fail(monkeypatch):
    def broken(case, size, settings):
        if case.model == 'timm:swin-t':
            raise ImportError("No module named 'timm'")
        if case.model == 'mmdet:swin-t':
            raise RuntimeError('expected m1 and m2\n to have the same dtype')
        return entry(str(case))

    monkeypatch.setattr(comparison, 'prepare', broken)
    size = Size(1, 32, 32)
    pairs = [(Case(name, 'fp32'), size) for name in ('swin-tiny', 'timm:swin-t', 'mmdet:swin-t')]
    entries, left_out = comparison.prepare_all(pairs, Settings())
    assert [e.case.model for e in entries] == ['swin-tiny']
    assert left_out == {
        'timm:swin-t@fp32 1x32x32': "ImportError: No module named 'timm'",
        'mmdet:swin-t@fp32 1x32x32': 'RuntimeError: expected m1 and m2 to have the same dtype',
    }
    with pytest.raises(InputError, match='nothing is left'):
        comparison.prepare_all(pairs[1:], Settings())


def record(name, median, memory=None, best=None, share=0.5, size='1x8x8'):
    peaks = dict(peak_memory=memory, peak_allocated=memory and memory - 20)
    return dict(name=name, median=median, **peaks, best_baseline=best, share_of_peak=share, size=size)


def test_goals_are_judged_by_what_was_measured():
    runs = [
        dict(name='r', records=[record('a', 2.0, 60, 'b'), record('b', 3.0, 100), record('c', 5.0)], growth={'a': 1.1})
    ]
    common = dict(work='w', run='r', model='a')
    goals = [
        {**common, 'measure': 'speedup', 'baseline': 'best', 'at_least': 1.5},
        {**common, 'measure': 'speedup', 'baseline': 'c', 'at_least': 2.6},
        {**common, 'measure': 'memory', 'baseline': 'b', 'at_most': 0.6},
        {**common, 'measure': 'memory', 'baseline': 'c', 'at_most': 0.6},
        {**common, 'measure': 'allocated', 'baseline': 'b', 'at_most': 0.6},
        {**common, 'measure': 'share_of_peak', 'at_least': 0.85},
        {**common, 'measure': 'growth', 'at_most': 1.05},
        {**common, 'run': 'other', 'measure': 'growth', 'at_most': 1.05},
    ]
    judged = report.judge(goals, runs)
    assert [g['value'] for g in judged] == [1.5, 2.5, 0.6, None, 0.5, 0.5, 1.1, None]
    assert [g['reached'] for g in judged] == [True, False, True, None, True, False, False, None]
    assert judged[0]['against'] == 'b'
    with pytest.raises(InputError, match='either at_least or at_most'):
        report.judge([common | {'measure': 'growth'}], runs)


def test_only_what_can_be_compared_is_drawn(tmp_path):
    result = json.loads((ROOT / 'docs/benchmarks/backbones-cpu.json').read_text())
    alone = [run for run in result['runs'] if run['name'] == 'growth']  # one model, four sizes
    several = [run for run in result['runs'] if run['name'] == 'dense']
    written = report.write(result | dict(runs=alone, goals=[]), tmp_path / 'alone.json')
    assert [path.suffix for path in written] == ['.json', '.md']
    heights = []
    for runs in (several, alone + several):
        *_, picture = report.write(result | dict(runs=runs, goals=[]), tmp_path / 'several.json')
        heights.append(Image.open(picture).height)
    assert heights[0] == heights[1]
