import json
import pickle
import shutil

import pytest
import torch
from mmengine.config import Config
from PIL import Image


def test_training_saves_a_checkpoint_and_evaluates(detector):
    assert detector.result.code == 0, detector.result.err
    assert detector.checkpoint.is_file()
    assert 'Epoch(val) [1][3/3]    coco/bbox_mAP: ' in detector.result.out


def test_resume_goes_on_where_the_last_run_stopped(tools, detector, tmp_path):
    shutil.copytree(detector.folder / 'run', tmp_path / 'run')
    (tmp_path / 'run' / 'last_checkpoint').write_text(str(tmp_path / 'run' / 'epoch_1.pth'))
    options = ['--no-validate', '--cfg-options', 'train_cfg.max_epochs=2']
    result = tools.run('train.py', detector.config, '--work-dir', 'run', '--resume', *options, cwd=tmp_path)
    assert result.code == 0, result.err
    assert 'Epoch(train) [2][3/3]' in result.out
    assert 'Epoch(train) [1]' not in result.out
    assert '0 missing, 0 of another shape, 0 unexpected' in result.out
    assert 'Epoch(val)' not in result.out


@pytest.mark.parametrize('kind', ['cut', 'empty pointer', 'no pointer'])
def test_the_newest_whole_checkpoint_is_taken_where_the_last_one_is_broken(tools, detector, tmp_path, kind):
    shutil.copytree(detector.folder / 'run', tmp_path / 'run')
    pointer = tmp_path / 'run' / 'last_checkpoint'
    (tmp_path / 'run' / 'epoch_2.pth').write_bytes(detector.checkpoint.read_bytes()[:5000])  # killed while saving
    pointer.write_text(str(tmp_path / 'run' / 'epoch_2.pth') if kind == 'cut' else '')
    if kind == 'no pointer':
        pointer.unlink()
    options = ['--no-validate', '--cfg-options', 'train_cfg.max_epochs=2']
    result = tools.run('train.py', detector.config, '--work-dir', 'run', '--resume', *options, cwd=tmp_path)
    assert result.code == 0, result.err
    assert 'going on from the newest whole one, run/epoch_1.pth' in result.out + result.err
    assert 'resumed epoch: 1' in result.out
    assert pointer.read_text().endswith('run/epoch_2.pth')


def test_no_whole_checkpoint_is_an_error(tools, detector, tmp_path):
    shutil.copytree(detector.folder / 'run', tmp_path / 'run')
    (tmp_path / 'run' / 'epoch_1.pth').write_bytes(b'PK\x03\x04')
    (tmp_path / 'run' / 'last_checkpoint').write_text('run/epoch_1.pth')
    result = tools.run('train.py', detector.config, '--work-dir', 'run', '--resume', cwd=tmp_path)
    assert result.code == 2
    assert 'names no whole checkpoint' in result.errors[0]


def test_amp_on_a_cpu_trains_in_bfloat16_with_finite_losses(tools, detector, tmp_path):
    if torch.cuda.is_available():
        pytest.skip('with a GPU mmengine has its own way')
    options = ['--amp', '--auto-scale-lr', '--no-validate']
    result = tools.run('train.py', detector.config, *options, cwd=tmp_path)
    assert result.code == 0, result.err
    used = Config.fromfile(tmp_path / 'work_dirs' / 'detector' / 'detector.py')
    wrapper = used.optim_wrapper
    assert (wrapper.type, wrapper.precision) == ('mmsparseswin.PrecisionOptimWrapper', 'bfloat16')
    assert 'Precision of training: bfloat16 (' in result.out + result.err
    assert used.auto_scale_lr.enable
    assert 'nan' not in result.out


def test_testing_writes_coco_json_metrics_and_pictures(tools, detector, tmp_path):
    options = ['--show-dir', 'pictures', '--interval', '2', '--out', 'metrics.json', '--out-item', 'metrics']
    result = tools.run('test.py', detector.config, detector.checkpoint, '--work-dir', 'out', *options, cwd=tmp_path)
    assert result.code == 0, result.err
    found = json.loads((tmp_path / 'out' / 'predictions.bbox.json').read_text())
    assert {'image_id', 'bbox', 'score', 'category_id'} <= found[0].keys()
    assert {one['category_id'] for one in found} <= {10, 20}
    assert 'out/predictions.bbox.json' in result.out
    assert 'coco/bbox_mAP' in json.loads((tmp_path / 'metrics.json').read_text())
    pictures = sorted((tmp_path / 'pictures').iterdir())
    assert [path.name for path in pictures] == ['000.jpg', '002.jpg', '004.jpg']
    assert Image.open(pictures[0]).size == (128, 48)  # truth and prediction, side by side


def test_tta_and_raw_predictions(tools, detector, tmp_path):
    result = tools.run('test.py', detector.config, detector.checkpoint, '--tta', '--out', 'raw.pkl', cwd=tmp_path)
    assert result.code == 0, result.err
    with open(tmp_path / 'raw.pkl', 'rb') as file:
        assert len(pickle.load(file)) == 5


def test_data_root_moves_annotation_files_too(tools, detector, tmp_path):
    shutil.move(shutil.copytree(detector.folder / 'coco', tmp_path / 'a'), tmp_path / 'moved')
    result = tools.run('train.py', detector.config, '--cfg-options', f'data_root={tmp_path}/moved', cwd=tmp_path)
    assert result.code == 0, result.err
    used = Config.fromfile(tmp_path / 'work_dirs' / 'detector' / 'detector.py')
    assert used.val_dataloader.dataset.data_root == f'{tmp_path}/moved'
    assert used.val_evaluator.ann_file == f'{tmp_path}/moved/annotations.json'


def test_a_classifier_trains_and_tests_with_the_same_tools(tools, classifier):
    assert classifier.result.code == 0, classifier.result.err
    assert 'accuracy/top1' in classifier.result.out
    options = ['--amp', '--show-dir', 'pictures', '--out', 'pred.pkl']
    result = tools.run('test.py', classifier.config, classifier.checkpoint, *options, cwd=classifier.folder)
    assert result.code == 0, result.err
    assert len(list((classifier.folder / 'pictures').iterdir())) == 4
    tta = tools.run('test.py', classifier.config, classifier.checkpoint, '--tta', cwd=classifier.folder)
    assert tta.code == 0, tta.err
    assert 'accuracy/top1' in tta.out
