"""Test trackers without a network, early stopping and averaged weights through tools/train.py."""

import pytest
import torch


def _train(tools, folder, base, name, lines, env=None, *options, tracker=None):
    path = folder / f'{name}.py'
    bases = [str(base), *([f'mmsparseswin::_base_/visualizers/{tracker}.py'] if tracker else [])]
    path.write_text(f'_base_ = {bases}\n' + lines)
    return tools.run('train.py', path, *options, cwd=folder, env=env)


def test_wandb_keeps_a_run_offline(tools, classifier):
    pytest.importorskip('wandb')
    lines = 'visualizer = dict(vis_backends=_base_.wandb_backends)\n'
    env = {'WANDB_MODE': 'offline', 'WANDB_SILENT': 'true'}
    done = _train(tools, classifier.folder, classifier.config, 'tracked_w', lines, env, tracker='wandb')
    assert done.code == 0, done.err
    (run,) = classifier.folder.glob('work_dirs/tracked_w/*/vis_data/wandb/offline-run-*/*.wandb')
    assert b'accuracy/top1' in run.read_bytes()


def test_mlflow_keeps_a_run_in_files(tools, classifier):
    pytest.importorskip('mlflow')
    lines = 'visualizer = dict(vis_backends=_base_.mlflow_backends)\n'
    env = {'MLFLOW_ALLOW_FILE_STORE': 'true'}
    done = _train(tools, classifier.folder, classifier.config, 'tracked_m', lines, env, tracker='mlflow')
    assert done.code == 0, done.err
    (score,) = classifier.folder.glob('work_dirs/tracked_m/*/vis_data/*/*/metrics/accuracy/top1')
    assert score.read_text().split()[1] == '50.0'
    refused = _train(
        tools,
        classifier.folder,
        classifier.config,
        'refused',
        lines,
        {'MLFLOW_ALLOW_FILE_STORE': 'false'},
        tracker='mlflow',
    )
    assert refused.code == 2
    assert 'MLFLOW_ALLOW_FILE_STORE=true' in refused.errors[0]


def test_early_stopping_ends_a_training_that_gets_no_better(tools, detector):
    hook = "dict(type='EarlyStoppingHook', monitor='coco/bbox_mAP', rule='greater', patience=1, min_delta=1.0)"
    done = _train(
        *(tools, detector.folder, detector.config, 'early', f'custom_hooks = [{hook}]\n', None),
        *('--epochs', 9),
    )
    assert done.code == 0, done.err
    saved = sorted(path.name for path in (detector.folder / 'work_dirs' / 'early').glob('epoch_*.pth'))
    assert saved == ['epoch_1.pth', 'epoch_2.pth']


def test_averaged_weights_are_saved_tested_and_resumed(tools, detector):
    lines = "custom_hooks = [dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.01)]\n"
    done = _train(tools, detector.folder, detector.config, 'average', lines)
    assert done.code == 0, done.err
    path = detector.folder / 'work_dirs' / 'average' / 'epoch_1.pth'
    saved = torch.load(path, weights_only=False)
    raw = {name.removeprefix('module.'): value for name, value in saved['ema_state_dict'].items() if name != 'steps'}
    assert raw.keys() == saved['state_dict'].keys()
    apart = [name for name, value in raw.items() if not torch.equal(value, saved['state_dict'][name])]
    assert 'bbox_head.retina_cls.weight' in apart  # what is tested is not what the last step left
    config = detector.folder / 'average.py'
    again = tools.run('train.py', config, '--resume', '--epochs', 2, cwd=detector.folder)
    assert again.code == 0, again.err
    assert (path.parent / 'epoch_2.pth').is_file()


def test_print_config_prints_the_merged_config_or_a_part(tools, detector):
    arguments = [detector.config, '--cfg-options', 'model.bbox_head.num_classes=7']
    whole = tools.run('misc/print_config.py', *arguments, cwd=detector.folder)
    assert 'num_classes=7' in whole.out
    part = tools.run('misc/print_config.py', *arguments, '--key', 'model.bbox_head.num_classes', cwd=detector.folder)
    assert (part.code, part.out) == (0, 'num_classes = 7\n'), part.err
    step = tools.run('misc/print_config.py', detector.config, '--key', 'pipeline.0.type', cwd=detector.folder)
    assert step.out == "type = 'mmsparseswin.LoadImageFromFile'\n"
    wrong = tools.run('misc/print_config.py', detector.config, '--key', 'model.head', cwd=detector.folder)
    assert wrong.errors[0].startswith('error: --key model.head: model has type, data_preprocessor, backbone')
    out = tools.run('misc/print_config.py', *arguments, '--out', 'merged.py', cwd=detector.folder)
    assert out.out == 'merged.py\n'
    assert 'num_classes=7' in (detector.folder / 'merged.py').read_text()
