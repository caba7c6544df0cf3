"""Train for equal CPU time, leave windows out, and report, by tools/experiments/window_gate.py."""

import json
from pathlib import Path

import pytest

from mmsparseswin.benchmark import window_gate
from mmsparseswin.cli import run_config
from mmsparseswin.registry import MODELS

ROOT = Path(__file__).parents[2]
NAMES = ('retinanet_bccd', 'mask-rcnn_nuclei', 'cifar10')


def load(name: str):
    return run_config.load_config(str(ROOT / f'configs/experiments/window-gate_{name}.py'), {})


@pytest.mark.parametrize('name', NAMES)
def test_a_narrow_model_has_less_of_the_weights(name):
    cfg = load(name)
    plain = MODELS.build(cfg.model.backbone)
    cfg.merge_from_dict(window_gate.changes('small-model', cfg))
    narrow = MODELS.build(cfg.model.backbone)
    sizes = [sum(p.numel() for p in model.parameters()) for model in (plain, narrow)]
    assert 0.4 < sizes[1] / sizes[0] < 0.55  # (2/3) ** 2 and some
    part = cfg.model.get('neck') or cfg.model.head
    wanted = part.in_channels if isinstance(part.in_channels, list) else [part.in_channels]
    assert wanted == list(narrow.out_channels)[-len(wanted) :]


def test_small_images_are_smaller_in_training():
    cfg = load('retinanet_bccd')
    assert window_gate.changes('small-images', cfg) == {'train_dataloader.dataset.pipeline.2.scale': (224, 168)}
    cfg = load('cifar10')
    (pipeline,) = window_gate.changes('small-images', cfg).values()
    assert pipeline[-2] == dict(type='Resize', scale=(22, 22))


def test_points_of_a_row():
    cfg = load('cifar10')
    assert window_gate.points('small-model', cfg) == [{}]
    assert window_gate.points('small-images', cfg) == [{'size': 0.7}]
    assert window_gate.points('adapted', cfg)[1] == {'keep_windows': (0.8, 0.8, 1.0)}


@pytest.mark.slow
def test_it_trains_once_and_reports(tools, shapes, tmp_path):
    root = tmp_path / 'nuclei'
    root.mkdir()
    for folder in ('train', 'val'):
        (root / folder).symlink_to(shapes / folder)
        file = f'annotations/instances_{folder}.json'
        found = json.loads((shapes / file).read_text())
        found['categories'] = [dict(id=1, name='nucleus')]
        for one in found['annotations']:
            one['category_id'] = 1
        (root / 'annotations').mkdir(exist_ok=True)
        (root / file).write_text(json.dumps(found))
    config = ROOT / 'configs/experiments/window-gate_mask-rcnn_nuclei.py'
    given = [config, '--data-root', f'{root}/', '--cpu-minutes', 0.001, '--rounds', 1, '--out-dir', 'out']
    first = tools.run('experiments/window_gate.py', *given, cwd=tmp_path)
    assert first.code == 0, first.out + first.err
    runs = json.loads((tmp_path / 'out/results.json').read_text())['runs']
    assert [run['row'] for run in runs] == list(window_gate.ROWS)
    assert [len(run['points']) for run in runs] == [7, 4, 1, 1]
    assert all(point['milliseconds'] > 0 for run in runs for point in run['points'])
    assert (tmp_path / 'out/curve.png').is_file()
    again = tools.run('experiments/window_gate.py', *given, '--rows', 'plain', cwd=tmp_path)
    assert again.code == 0, again.err
    assert 's of CPU' not in again.out
    unknown = tools.run('experiments/window_gate.py', *given, '--rows', 'magic', cwd=tmp_path)
    assert (unknown.code, len(unknown.errors)) == (2, 1)
