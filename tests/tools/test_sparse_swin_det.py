"""Train, resume, test, predict and count SparseSwinDet by the ordinary tools, and run the experiment on its faults."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIGS = ('sparseswindet-published_shapes', 'sparseswindet_shapes')
SMALL = ['train_cfg.val_interval=1', 'default_hooks.logger.interval=1', 'train_dataloader.batch_size=4']


def options(root: Path) -> list[str]:
    return ['--cfg-options', f'data_root={root}/', *SMALL]


@pytest.mark.slow
@pytest.mark.parametrize('name', CONFIGS)
def test_it_trains_resumes_and_is_tested(tools, shapes, tmp_path, name):
    config = ROOT / f'configs/quickstart/{name}.py'
    first = tools.run('train.py', config, '--work-dir', 'run', '--epochs', 1, *options(shapes), cwd=tmp_path)
    assert first.code == 0, first.err
    assert 'Epoch(train) [1][2/2]' in first.out
    more = ['--resume', '--epochs', 2]
    second = tools.run('train.py', config, '--work-dir', 'run', *more, *options(shapes), cwd=tmp_path)
    assert second.code == 0, second.err
    assert 'Epoch(train) [2][2/2]' in second.out
    assert 'Epoch(train) [1]' not in second.out
    assert '0 missing, 0 of another shape, 0 unexpected' in second.out
    low = [*options(shapes), 'model.test_cfg.score_thr=0.0']
    tested = tools.run('test.py', config, 'run/epoch_2.pth', '--work-dir', 'out', *low, cwd=tmp_path)
    assert tested.code == 0, tested.err
    found = json.loads((tmp_path / 'out' / 'predictions.bbox.json').read_text())
    truth = json.loads((shapes / 'annotations/instances_val.json').read_text())
    assert {one['image_id'] for one in found} == {image['id'] for image in truth['images']}
    assert {one['category_id'] for one in found} <= {one['id'] for one in truth['categories']}
    pictures = sorted((shapes / 'val').iterdir())[:2]
    predicted = tools.run('predict.py', config, 'run/epoch_2.pth', *pictures, '--out-dir', 'seen', cwd=tmp_path)
    assert predicted.code == 0, predicted.err


def test_parameters_and_flops_are_counted(tools, tmp_path):
    config = ROOT / 'configs/quickstart/sparseswindet-published_shapes.py'
    result = tools.run('analysis_tools/get_flops.py', config, '--shape', 128, '--json', cwd=tmp_path)
    assert result.code == 0, result.err
    assert json.loads(result.out)


@pytest.mark.slow
@pytest.mark.parametrize('end', ['', '-mended'])
def test_it_trains_on_coco(tools, tmp_path, end):
    from real_data import coco_mini

    root = coco_mini()
    config = ROOT / f'configs/sparseswin/sparseswindet_t_384{end}_coco.py'
    few = [f'data_root={root}/', 'model.backbone.init_cfg=None', 'train_dataloader.num_workers=0']
    few += ['val_dataloader.num_workers=0', 'train_dataloader.dataset.indices=16', 'val_dataloader.dataset.indices=4']
    few += ['train_dataloader.persistent_workers=False', 'val_dataloader.persistent_workers=False']
    few += ['default_hooks.logger.interval=1', 'model.test_cfg.score_thr=0.0', 'model.test_cfg.nms_pre=100']
    result = tools.run('train.py', config, '--work-dir', 'run', '--epochs', 1, '--cfg-options', *few, cwd=tmp_path)
    assert result.code == 0, result.err
    assert 'Epoch(train) [1][2/2]' in result.out
    assert 'coco/bbox_mAP: ' in result.out


def test_the_experiment_trains_once_and_reports(tools, tmp_path):
    arguments = ['--images', 8, 2, '--cpu-minutes', 0.001, '--out-dir', 'out']
    rows = ['--rows', 'mended', 'large-anchors', 'score-limit']
    first = tools.run('experiments/sparse_swin_det.py', *arguments, *rows, cwd=tmp_path)
    assert first.code == 0, first.out + first.err
    table = (tmp_path / 'out' / 'table.md').read_text()
    assert [row in table for row in ('| mended |', '| anchors twice as large |', '| score limit .2 |')] == [True] * 3
    runs = json.loads((tmp_path / 'out' / 'results.json').read_text())['runs']
    assert [(run['row'], run['seed']) for run in runs] == [('mended', 0), ('large-anchors', 0)]
    assert all(run['cpu_seconds'] >= 0.06 and run['iterations'] >= 1 for run in runs)
    again = tools.run('experiments/sparse_swin_det.py', *arguments, *rows, cwd=tmp_path)
    assert again.code == 0, again.err
    assert 's of CPU' not in again.out
    unknown = tools.run('experiments/sparse_swin_det.py', *arguments, '--rows', 'magic', cwd=tmp_path)
    assert (unknown.code, len(unknown.errors)) == (2, 1)
    assert 'magic' in unknown.errors[0]
