"""Test the benchmark command: its files, its errors and an interruption."""

import json
import runpy
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from mmengine.fileio import load

from mmsparseswin.benchmark import timing
from mmsparseswin.benchmark.baselines import OUTPUTS
from mmsparseswin.benchmark.comparison import Settings
from mmsparseswin.benchmark.report import judge
from mmsparseswin.benchmark.runs import MALLOCS, cases_of

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/benchmark.py'
PRESETS = sorted((TOOL.parent / 'benchmark_presets').glob('*.yml'))
QUICK = ['--sizes', '1x32x64', '--min-rounds', '2', '--seconds', '0']


def benchmark(tools, folder, *args):
    return tools.run('analysis_tools/benchmark.py', *args, cwd=folder)


@pytest.fixture(scope='module')
def written(tools, tmp_path_factory):
    folder = tmp_path_factory.mktemp('benchmark')
    options = ['--dtypes', 'fp32', 'bf16', '--baselines', 'torchvision:swin-t@fp32', '--check', '--no-memory']
    return benchmark(
        tools, folder, 'swin-tiny', 'torchvision:swin-t', *QUICK, *options, '--out', 'out/run.json'
    ), folder / 'out'


def test_json_holds_every_time_and_where_it_was_taken(written):
    result, folder = written
    assert result.code == 0, result.err
    content = json.loads((folder / 'run.json').read_text())
    assert set(content) == {'environment', 'runs', 'goals', 'interrupted'}
    environment = content['environment']
    assert {'date', 'command', 'commit', 'cpu', 'capability', 'cores', 'python', 'packages', 'variables'} <= set(
        environment
    )
    assert 'torch' in environment['packages']
    assert '--check' in environment['command']
    (run,) = content['runs']
    assert run['settings']['sizes'] == ['1x32x64']
    assert run['threads'] == 1
    names = ['swin-tiny@fp32', 'swin-tiny@bf16', 'torchvision:swin-t@fp32', 'torchvision:swin-t@bf16']
    assert [record['name'] for record in run['records']] == names
    for record in run['records']:
        assert len(record['seconds']) == record['rounds'] == 2
        assert record['q1'] <= record['median'] <= record['q3']
        assert record['gflops'] == pytest.approx(2 * record['gmac'] / record['median'])
        assert record['share_of_peak'] == pytest.approx(record['gflops'] / record['matrix_gflops'])
        assert record['peak_memory'] is None
        assert record['parameters'] == 27519354
    ours = run['records'][1]
    assert ours['best_baseline'] == 'torchvision:swin-t@bf16'
    assert list(ours['speedups']) == ['torchvision:swin-t@bf16', 'torchvision:swin-t@fp32']
    assert 0 < ours['checked']['torchvision:swin-t'] < 0.15


def test_memory_is_measured_in_a_process_of_its_own(tools, tmp_path):
    result = benchmark(tools, tmp_path, 'swin-tiny', *QUICK, '--out', 'run.json')
    assert result.code == 0, result.err
    (record,) = json.loads((tmp_path / 'run.json').read_text())['runs'][0]['records']
    # 8 x 16 tokens of 96 channels are 48 KiB; the weights, 105 MiB, are not in it.
    assert 48 * 2**10 < record['peak_memory'] < 50 * 2**20
    assert 0 <= record['peak_allocated'] < 50 * 2**20
    assert (tmp_path / 'run.md').is_file()
    assert not (tmp_path / 'run.png').exists()  # one bar alone says nothing


def test_the_same_is_printed_and_written_as_a_table_and_drawn(written):
    result, folder = written
    table = (folder / 'run.md').read_text()
    assert result.out.strip() in table
    assert '| torchvision:swin-t@bf16 |' in table
    assert (folder / 'run.png').read_bytes().startswith(b'\x89PNG')


@pytest.mark.parametrize(
    ('args', 'words'),
    [
        (['swin-tny'], "model 'swin-tny' is unknown; choose a config.py, or one of ['sparseswin-base'"),
        (['mmdet:swin-x'], "of other libraries, ['mmdet:swin-t'"),
        (['swin-tiny@fp8'], "'fp8' is unknown; choose one of ['fp32'"),
        (['swin-tiny', '--sizes', '224'], "size '224' is not of the form"),
        (['swin-tiny', '--baselines', 'mmdet:swin-t'], "does not run; choose one of ['swin-tiny@fp32']"),
        (['timm:swin-t', '--output', 'maps'], 'gives no normalised maps'),
        (['none.py', '--sizes', '1x32x32'], 'no config at none.py'),
        (['--preset', 'nope'], "none of ['backbones-cpu'"),
        ([], 'name at least one model'),
    ],
)
def test_mistakes_end_in_one_line(tools, tmp_path, args, words):
    result = benchmark(tools, tmp_path, *args, *(['--no-memory'] if args else []))
    assert result.code == 2, result.out + result.err
    assert len(result.errors) == 1
    assert words in result.errors[0]


def test_a_detector_of_a_config_runs(tools, tmp_path):
    (tmp_path / 'config.py').write_text(
        "default_scope = 'mmdet'\n"
        "model = dict(type='RetinaNet', backbone=dict(type='mmsparseswin.Swin', arch=dict(embed_dims=8,\n"
        '    depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2)), out_indices=(1, 2, 3)),\n'
        "    neck=dict(type='FPN', in_channels=[16, 32, 64], out_channels=8, num_outs=5),\n"
        "    bbox_head=dict(type='RetinaHead', num_classes=2, in_channels=8, feat_channels=8))\n"
    )
    options = ['--sizes', '2x64x96', '--min-rounds', '1', '--seconds', '0', '--no-memory', '--out', 'run.json']
    for extra in ([], ['--train']):
        result = benchmark(tools, tmp_path, 'config.py', *options, *extra)
        assert result.code == 0, result.err
        (record,) = json.loads((tmp_path / 'run.json').read_text())['runs'][0]['records']
        assert record['name'] == 'config.py@fp32'
        assert record['training'] == bool(extra)


def test_an_interruption_keeps_what_was_measured(tmp_path, monkeypatch):
    rounds = timing.rounds

    def interrupted(*args):
        for i, times in enumerate(rounds(*args)):
            if i == 3:
                raise KeyboardInterrupt
            yield times

    monkeypatch.setattr(timing, 'rounds', interrupted)
    out = tmp_path / 'run.json'
    args = ['swin-tiny', '--sizes', '1x32x32', '1x32x64', '--no-memory', '--min-rounds', '9', '--out', str(out)]
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *args])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(TOOL))['main']()
    assert stop.value.code == 130
    content = json.loads(out.read_text())
    assert content['interrupted']
    assert [(r['size'], r['rounds']) for r in content['runs'][0]['records']] == [('1x32x32', 3)]
    assert 'Interrupted' in out.with_suffix('.md').read_text()


def test_scaling_times_all_sizes_in_one_run_and_fits_the_growth(tools, tmp_path):
    sizes = ['--sizes', '1x32x32', '1x64x64', '1x96x96', '--min-rounds', '1', '--seconds', '0']
    result = benchmark(tools, tmp_path, 'swin-tiny', '--scaling', *sizes, '--no-memory', '--out', 'run.json')
    assert result.code == 0, result.err
    (run,) = json.loads((tmp_path / 'run.json').read_text())['runs']
    assert len(run['rates']) == 1  # of one comparison
    points = {record['size']: record['median'] for record in run['records']}
    assert run['growth']['swin-tiny@fp32'] == pytest.approx(timing.growth([1024, 4096, 9216], list(points.values())))


@pytest.mark.parametrize('path', PRESETS, ids=lambda path: path.stem)
def test_presets_name_what_there_is(path):
    preset = load(path)
    labels = {}
    for run in preset['runs']:
        assert set(run) - {'name'} <= {field.name for field in fields(Settings)}
        settings = Settings(**{key: value for key, value in run.items() if key != 'name'})
        labels[run['name']] = {str(case) for case in cases_of(settings)}
    assert len(labels) == len(preset['runs'])
    for goal in preset.get('goals', []):
        assert goal['model'] in labels[goal['run']]
        assert goal.get('baseline', 'best') in {'best', *labels[goal['run']]}
    assert [goal['value'] for goal in judge(preset.get('goals', []), [])] == [None] * len(preset.get('goals', []))


def test_an_ambiguous_goal_is_refused_before_anything_is_measured(tools, tmp_path):
    goal = dict(work='fast', run='a', model='swin-tiny@fp32', measure='speedup', baseline='best', at_least=1.0)
    runs = [dict(name='a', models=['swin-tiny'], sizes=['1x32x64', '1x64x64'])]
    (tmp_path / 'preset.json').write_text(json.dumps(dict(runs=runs, goals=[goal])))
    result = benchmark(tools, tmp_path, '--preset', 'preset.json')
    assert result.code == 2
    assert "goal 'fast': name the size it is for, one of ['1x32x64', '1x64x64']" in result.err
    assert 'round' not in result.err


def test_a_preset_with_an_unknown_malloc_is_refused(tools, tmp_path):
    (tmp_path / 'preset.json').write_text(json.dumps(dict(runs=[dict(models=['swin-tiny'], malloc='kept')])))
    result = benchmark(tools, tmp_path, '--preset', 'preset.json')
    assert result.code == 2
    assert "malloc 'kept' is unknown; choose one of ['default', 'keep', 'map']" in result.err


def test_a_part_is_measured_alone(tools, tmp_path):
    options = ['--part', 'stages.3', '--sizes', '1x64x64', '--min-rounds', '1', '--seconds', '0', '--no-memory']
    result = benchmark(tools, tmp_path, 'swin-tiny', 'sparseswin-tiny', 'torchvision:swin-t', *options)
    assert result.code == 2
    assert '--part stages.3: no module of the model is called that' in result.err
    options += ['--output', 'maps', '--train', '--out', 'run.json']
    result = benchmark(tools, tmp_path, 'swin-tiny', 'sparseswin-tiny', 'mmdet:swin-t', *options)
    assert result.code == 0, result.err
    assert 'stages.3 alone, maps outputs' in result.out
    records = {r['model']: r for r in json.loads((tmp_path / 'run.json').read_text())['runs'][0]['records']}
    merging = 2 * 4 * 384 + 4 * 384 * 768
    block = 4 * 768 + 12 * 768**2 + (3 + 1 + 4 + 1) * 768 + 13**2 * 24
    assert records['swin-tiny']['parameters'] == merging + 2 * block
    assert records['sparseswin-tiny']['parameters'] < records['swin-tiny']['parameters']
    # 4 tokens in a window of 49, whose padding goes through attention but not through the MLP
    assert 0.06 < records['swin-tiny']['gmac'] < 0.4


def test_results_of_one_kind_of_processor_are_compared_by_their_ratios(written, tools, tmp_path):
    path = written[1] / 'run.json'
    result = json.loads(path.read_text())
    speedups = [ratio for record in result['runs'][0]['records'] for ratio in record['speedups'].values()]
    assert speedups
    for ratio in speedups:
        ratio['median'] *= 1.5
    (tmp_path / 'after.json').write_text(json.dumps(result))
    done = tools.run('analysis_tools/benchmark.py', '--compare', path, 'after.json', cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.out.count('+50.0%') == len(speedups)
    result['environment']['capability'] = 'another'
    (tmp_path / 'after.json').write_text(json.dumps(result))
    done = tools.run('analysis_tools/benchmark.py', '--compare', path, 'after.json', cwd=tmp_path)
    assert done.code == 2
    assert 'cannot be compared: capability is' in done.errors[0]
    done = tools.run('analysis_tools/benchmark.py', '--compare', path, path.with_suffix('.md'), cwd=tmp_path)
    assert 'not a result of this benchmark' in done.errors[0]


def test_the_choices_of_the_command_line_are_those_of_the_package():
    tool = runpy.run_path(str(TOOL))
    assert tool['OUTPUTS'] == OUTPUTS
    assert tool['PRECISIONS'] == tuple(timing.PRECISIONS)
    assert tool['MALLOCS'] == tuple(MALLOCS)


def test_a_preset_writes_into_work_dirs_of_the_working_folder(tools, tmp_path):
    result = benchmark(tools, tmp_path, '--preset', 'smoke', '--sizes', '1x32x32')
    assert result.code == 0, result.err
    assert sorted(path.name for path in tmp_path.rglob('*.*')) == ['smoke.json', 'smoke.md', 'smoke.png']
    assert (tmp_path / 'work_dirs/benchmarks/smoke.json').is_file()
