"""Test the knobs, the front, the records and the search of a sweep, without a model that runs."""

import itertools

import pytest
from mmengine.config import Config

from mmsparseswin.benchmark.sweep import knobs, report, search
from mmsparseswin.errors import InputError

SLIM = dict(embed_dims=16, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8))


def config(**changes):
    cfg = Config(
        dict(
            model=dict(
                type='Cascade',
                backbone=dict(type='mmsparseswin.Swin', arch=SLIM, keep_windows=(1, 1, 0.5, 1)),
                test_cfg=dict(rpn=dict(nms_pre=1000, max_per_img=200), rcnn=dict(score_thr=0.05, max_per_img=100)),
            ),
            test_dataloader=dict(
                dataset=dict(
                    pipeline=[
                        dict(type='LoadImageFromFile'),
                        dict(type='mmdet.Resize', scale=(1333, 800), keep_ratio=True),
                        dict(type='PackDetInputs'),
                    ]
                )
            ),
            test_cfg=dict(type='TestLoop'),
        )
    )
    cfg.merge_from_dict(changes)
    return cfg


def test_a_grid_is_read_and_commas_in_brackets_stay():
    grid = knobs.parse_grid(['size=1,0.5', 'keep_windows=1,(1,1,0.5,1)', 'precision=fp32,bf16', 'model.a.b=[1,2],x'])
    assert grid == {
        'size': [1, 0.5],
        'keep_windows': [1, (1, 1, 0.5, 1)],
        'precision': ['fp32', 'bf16'],
        'model.a.b': [[1, 2], 'x'],
    }
    assert len(list(knobs.points_of(grid))) == 16


@pytest.mark.parametrize(
    ('words', 'says'),
    [
        (['size'], 'not of the form'),
        (['size='], 'not of the form'),
        (['sise=1'], 'choose from size, keep_windows'),
        (['size=1', 'size=2'], 'given twice'),
    ],
)
def test_a_wrong_grid_is_refused(words, says):
    with pytest.raises(InputError, match=says):
        knobs.parse_grid(words)


def test_knobs_become_options_of_the_config():
    cfg = config()
    assert knobs.options_of(cfg, {}) == {}
    assert knobs.options_of(cfg, {'size': 0.5}) == {'test_dataloader.dataset.pipeline.1.scale': (666, 400)}
    assert knobs.options_of(cfg, {'size': 1}) == {}
    assert knobs.options_of(cfg, {'keep_windows': 0.7}) == {'model.backbone.keep_windows': 0.7}
    stages = {'keep_windows.0': 0.8, 'keep_windows.3': 0.6}
    assert knobs.options_of(cfg, stages) == {'model.backbone.keep_windows': (0.8, 1.0, 0.5, 0.6)}
    assert knobs.options_of(cfg, {'proposals': 50}) == {'model.test_cfg.rpn.max_per_img': 50}
    assert knobs.options_of(cfg, {'nms_pre': 9}) == {'model.test_cfg.rpn.nms_pre': 9}
    assert knobs.options_of(cfg, {'score_thr': 0.2}) == {'model.test_cfg.rcnn.score_thr': 0.2}
    assert knobs.options_of(cfg, {'precision': 'bf16', 'threads': 2}) == {'test_cfg.fp16': True}
    assert knobs.options_of(cfg, {'model.test_cfg.rcnn.max_per_img': 7}) == {'model.test_cfg.rcnn.max_per_img': 7}
    words = knobs.as_words(knobs.options_of(cfg, {'size': 0.5, **stages}))
    assert words == [
        'test_dataloader.dataset.pipeline.1.scale=(666,400)',
        'model.backbone.keep_windows=(0.8,1.0,0.5,0.6)',
    ]


@pytest.mark.parametrize(
    ('point', 'says'),
    [
        ({'size': 0}, 'factor of the image size'),
        ({'precision': 'fp8'}, 'choose fp32 or bf16'),
        ({'threads': 0}, 'at least 1'),
        ({'keep_windows.7': 0.5}, 'stages 0 to 3'),
        ({'keep_windows.x': 0.5}, 'by its number'),
        ({'keep_windows': 1, 'keep_windows.1': 0.5}, 'no keep_windows beside it'),
    ],
)
def test_a_value_that_cannot_be_is_refused(point, says):
    with pytest.raises(InputError, match=says):
        knobs.options_of(config(), point)


def test_a_knob_that_the_config_lacks_is_refused():
    cfg = config()
    cfg.model.backbone = dict(type='ResNet')
    cfg.model.test_cfg = dict(score_thr=0.1)
    cfg.test_dataloader.dataset.pipeline = [dict(type='LoadImageFromFile')]
    for knob, says in [('size', 'no resize'), ('tokens', 'no backbone'), ('proposals', 'no such limit')]:
        with pytest.raises(InputError, match=says):
            knobs.options_of(cfg, {knob: 1})
    with pytest.raises(InputError, match='give --grid'):
        knobs.default_space(cfg)


def test_a_search_without_a_grid_varies_what_the_config_has():
    space = knobs.default_space(config())
    assert list(space) == ['size', *(f'keep_windows.{i}' for i in range(4)), 'proposals', 'nms_pre']
    assert space['proposals'] == [200, 100, 50]
    cfg = config()
    cfg.model.backbone = dict(
        type='mmsparseswin.SparseSwin',
        arch=dict(SLIM, depths=(2, 2, 2), num_heads=(1, 2, 4), num_tokens=4, token_dims=16),
    )
    assert 'keep_windows.3' not in knobs.default_space(cfg)


def record(milliseconds, accuracy, **point):
    return dict(point=point, milliseconds=milliseconds, accuracy=accuracy, metric='mAP', speedup=1.0, memory=2**20)


def test_the_front_holds_what_nothing_beats():
    records = [
        record(10, 0.5),
        record(5, 0.4),
        record(7, 0.4),
        record(6, 0.45),
        record(12, 0.5),
        dict(point={}, error='x'),
    ]
    assert [(r['milliseconds'], r['accuracy']) for r in search.front(records)] == [(5, 0.4), (6, 0.45), (10, 0.5)]
    assert [letter for letter, _ in report.name_front(records)] == ['A', 'B', 'C']


def fake(point):
    """A model that is 10 ms at best, and loses accuracy where stages lose windows."""
    size, kept = point.get('size', 1.0), point.get('keep_windows.2', 1.0)
    return record(20 * size**2 + 10 * kept, 0.5 * size**0.3 * (0.9 + 0.1 * kept), **point) | {'scores': {}}


SPACE = {'size': [1.0, 0.9, 0.8, 0.7, 0.6, 0.5], 'keep_windows.2': [1.0, 0.8, 0.6, 0.4, 0.2]}


def test_a_grid_is_measured_once_and_goes_on_after_a_stop(tmp_path):
    path, run = tmp_path / 'points.jsonl', dict(config='c.py', options={'a': (1, 2)})
    records, grid = search.Records(path, run, False), {'size': [0.5, 1.0], 'keep_windows.2': [0.5, 1.0]}
    lefts = list(itertools.islice(search.run_grid(records, grid, fake), 4))
    assert lefts == [5, 4, 3, 2]
    with open(path, 'a') as file:
        file.write('{"point": {"size"')  # cut off by the stop
    with pytest.raises(InputError, match='--resume'):
        search.Records(path, run, False)
    with pytest.raises(InputError, match=r"config 'c.py' \(now 'd.py'\)"):
        search.Records(path, dict(run, config='d.py'), True)
    records = search.Records(path, run, True)
    assert len(records.records) == 3
    assert list(search.run_grid(records, grid, fake)) == [2, 1, 0]
    points = [search.key(one['point']) for one in search.Records(path, run, True).records]
    assert len(points) == len(set(points)) == 5


@pytest.mark.parametrize('method', search.METHODS)
def test_a_search_ends_with_its_budget_and_repeats_no_point(tmp_path, monkeypatch, method):
    clock = itertools.count()
    monkeypatch.setattr(search.time, 'perf_counter', lambda: next(clock))  # a second per point
    records = search.Records(tmp_path / 'points.jsonl', {}, False)
    lefts = list(search.run_search(records, SPACE, fake, 12.5, method))
    assert len(records.records) == 12
    assert lefts[0] == 12.5
    assert lefts[-1] == 0.5
    points = [search.key(one['point']) for one in records.records]
    assert points[0] == '{}'
    assert len(set(points)) == 12
    for _ in search.run_search(records, SPACE, fake, 1000, method):
        pass
    assert len(records.records) >= 28, 'a small space is searched to its end'


def test_evolution_finds_more_of_the_front_than_chance(tmp_path, monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(search.time, 'perf_counter', lambda: next(clock))
    wide = {**SPACE, **{f'useless{i}.x': [0, 1, 2, 3] for i in range(3)}}

    def loses(point):
        harm = sum(point.get(f'useless{i}.x', 0) for i in range(3))
        return dict(fake(point), accuracy=fake(point)['accuracy'] - 0.02 * harm)

    def area(method, seed):
        records = search.Records(tmp_path / f'{method}{seed}.jsonl', {}, False)
        for _ in search.run_search(records, wide, loses, 40, method, seed):
            pass
        best = search.front(records.records)
        return sum(max((r['accuracy'] for r in best if r['milliseconds'] <= ms), default=0) for ms in range(8, 31))

    gains = [area('evolution', seed) - area('random', seed) for seed in range(5)]
    assert sum(gains) > 0


def test_a_point_that_fails_is_named_and_a_failing_config_ends_the_sweep(tmp_path):
    def measure(point):
        if point.get('size') == 0.5:
            raise RuntimeError('too\nsmall')
        return fake(point)

    records = search.Records(tmp_path / 'points.jsonl', {}, False)
    list(search.run_grid(records, {'size': [0.5, 0.6]}, measure))
    assert [one.get('error') for one in records.records] == [None, 'RuntimeError: too small', None]
    empty = search.Records(tmp_path / 'other.jsonl', {}, False)
    with pytest.raises(RuntimeError):
        list(search.run_grid(empty, {'size': [1]}, lambda _: measure({'size': 0.5})))


def test_the_report_names_points_and_gives_their_command_lines(tmp_path):
    records = [
        record(30.0, 0.5),
        record(10.0, 0.4, size=0.5, threads=2),
        dict(point={'size': 9}, error='InputError: no'),
    ]
    lines = {
        letter: report.command_line(config(), 'c.py', 'e.pth', one['point'], {'data_root': 'x y'})
        for letter, one in report.name_front(records)
    }
    assert lines['A'] == (
        "OMP_NUM_THREADS=2 python tools/test.py c.py e.pth --cfg-options 'data_root=x y' "
        "'test_dataloader.dataset.pipeline.1.scale=(666,400)'"
    )
    text = report.write(tmp_path, records, lines)
    assert '| A     | size 0.5, threads 2 | 0.4' in text
    assert '- left out: size 9: InputError: no' in text
    assert lines['B'] in text
    assert (tmp_path / 'front.png').stat().st_size > 5000
    assert (tmp_path / 'sweep.json').is_file()
