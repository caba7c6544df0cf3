"""Section 6.6 of the main job: every mistake ends in one line that says what to do, and exit code 2."""

import pytest
import tiny
import torch


def only_error(result) -> str:
    assert result.code == 2, result.out + result.err
    assert 'Traceback' not in result.out + result.err
    assert len(result.errors) == 1, result.err
    return result.errors[0]


def test_missing_data_root(tools, coco, tmp_path):
    error = only_error(tools.run('train.py', coco[1], '--cfg-options', 'data_root=/nowhere', cwd=tmp_path))
    assert 'no data root /nowhere' in error
    assert 'data_root=DIR' in error


def test_annotations_that_are_not_json(tools, coco, tmp_path):
    (coco[0] / 'annotations.json').write_text('{"images": [')
    assert 'annotations.json is not JSON' in only_error(tools.run('train.py', coco[1], cwd=tmp_path))


def test_annotations_that_lack_a_key(tools, coco, tmp_path):
    tiny.edit(coco[0], lambda content: content.pop('categories'))
    assert "no list 'categories'" in only_error(tools.run('train.py', coco[1], cwd=tmp_path))


def test_an_annotation_for_an_image_that_is_not_there(tools, coco, tmp_path):
    tiny.edit(coco[0], lambda content: content['annotations'][1].update(image_id=77))
    assert 'annotations 2 are for images' in only_error(tools.run('train.py', coco[1], cwd=tmp_path))


@pytest.mark.parametrize('workers', [0, 1])
def test_a_truncated_image_is_named(tools, coco, tmp_path, workers):
    path = coco[0] / 'images' / '003.jpg'
    path.write_bytes(path.read_bytes()[:900])
    options = ['--cfg-options', f'train_dataloader.num_workers={workers}']
    error = only_error(tools.run('train.py', coco[1], *options, cwd=tmp_path))
    assert f'image {path} is corrupt' in error
    assert 'skip_corrupt=True' in error


def test_a_truncated_image_is_skipped_if_the_config_says_so(tools, coco, tmp_path):
    path = coco[0] / 'images' / '003.jpg'
    path.write_bytes(path.read_bytes()[:900])
    options = ['--no-validate', '--cfg-options', 'train_dataloader.dataset.pipeline.0.skip_corrupt=True']
    result = tools.run('train.py', coco[1], *options, cwd=tmp_path)
    assert result.code == 0, result.err
    assert f'skipping corrupt image {path}' in result.err


def test_classes_that_do_not_match_the_annotations(tools, coco, tmp_path):
    tiny.edit(coco[0], lambda content: content['categories'][0].update(name='Square'))
    error = only_error(tools.run('train.py', coco[1], cwd=tmp_path))
    assert 'the classes square are not among the categories Square, disc' in error


def test_num_classes_that_does_not_match_the_classes(tools, coco, tmp_path):
    error = only_error(tools.run('train.py', coco[1], '--cfg-options', 'model.bbox_head.num_classes=80', cwd=tmp_path))
    assert 'model.bbox_head.num_classes=80' in error
    assert '2 classes' in error


def test_a_checkpoint_of_another_architecture(tools, detector, tmp_path):
    other = detector.folder / 'other.py'
    other.write_text(
        detector.config.read_text() + "model['backbone'] = dict(type='MobileNetV2', out_indices=(2,), widen_factor=0.5)"
    )
    test = only_error(tools.run('test.py', other, detector.checkpoint, cwd=tmp_path))
    assert 'another architecture: 12 tensors matched' in test
    for option in ('load_from', 'resume'):
        options = ['--cfg-options', f'load_from={detector.checkpoint}'] if option == 'load_from' else []
        options = options or ['--resume', detector.checkpoint]
        assert 'another architecture' in only_error(tools.run('train.py', other, *options, cwd=tmp_path))


def test_other_classes_fine_tune_but_do_not_test(tools, detector, tmp_path):
    edited = tmp_path / 'three.py'
    text = detector.config.read_text().replace('num_classes=2', 'num_classes=1')
    edited.write_text(text.replace(repr(tiny.CLASSES), "('disc',)"))
    options = ['--no-validate', '--cfg-options', f'load_from={detector.checkpoint}']
    assert tools.run('train.py', edited, *options, cwd=tmp_path).code == 0
    assert 'bbox_head.retina_cls.weight' in only_error(tools.run('test.py', edited, detector.checkpoint, cwd=tmp_path))


def test_corrupt_checkpoints(tools, detector, tmp_path):
    whole = detector.checkpoint.read_bytes()
    (tmp_path / 'cut.pth').write_bytes(whole[: len(whole) // 2])
    (tmp_path / 'page.pth').write_text('<html>404</html>')
    (tmp_path / 'pickle.pth').write_bytes(b'\x80\x02rubbish')
    torch.save({'weights': 1}, tmp_path / 'other.pth')
    for name, words in {
        'cut.pth': 'cut.pth is cut off or corrupt',
        'page.pth': 'page.pth is not a checkpoint',
        'pickle.pth': 'the checkpoint is corrupt',
        'other.pth': 'holds no weights',
        'none.pth': 'no checkpoint at none.pth',
    }.items():
        assert words in only_error(tools.run('test.py', detector.config, name, cwd=tmp_path))


def test_weights_alone_cannot_be_resumed(tools, detector, tmp_path):
    weights = torch.load(detector.checkpoint, weights_only=False)['state_dict']
    torch.save({'state_dict': weights}, tmp_path / 'weights.pth')
    error = only_error(tools.run('train.py', detector.config, '--resume', 'weights.pth', cwd=tmp_path))
    assert 'no training state' in error


def test_a_work_dir_that_cannot_be_written(tools, detector, tmp_path):
    (tmp_path / 'file').touch()
    error = only_error(tools.run('train.py', detector.config, '--work-dir', 'file/run', cwd=tmp_path))
    assert 'cannot write to the work dir file/run' in error


@pytest.mark.parametrize(
    ('option', 'words'),
    [
        ('modle.type=x', 'did you mean model?'),
        ('model.backbne.depth=18', 'did you mean model.backbone?'),
        ('pipeline.9.type=x', 'pipeline is a list of 4'),
        ('model.backbone.dept=18', 'did you mean model.backbone.depth?'),
        ('model.backbone.nothing_like_it=18', "model.backbone has the option 'nothing_like_it'"),
        ('optim_wrapper.optimizer.momentun=0.9', 'did you mean optim_wrapper.optimizer.momentum?'),
        ('model.type=Nope', "model.type is 'Nope': there is no such model"),
        ('train_dataloader.dataset.metainfo.classes=disc', "('disc',)"),
    ],
)
def test_options_that_name_nothing(tools, detector, tmp_path, option, words):
    assert words in only_error(tools.run('train.py', detector.config, '--cfg-options', option, cwd=tmp_path))


def test_a_config_that_is_missing_or_does_not_run(tools, tmp_path):
    assert 'no config at none.py' in only_error(tools.run('train.py', 'none.py', cwd=tmp_path))
    (tmp_path / 'bad.py').write_text('model = undefined')
    assert "config bad.py: NameError: name 'undefined'" in only_error(tools.run('train.py', 'bad.py', cwd=tmp_path))


def test_a_bug_keeps_its_traceback(tools, detector, tmp_path):
    (tmp_path / 'buggy_hook.py').write_text(
        'from mmengine.hooks import Hook\nfrom mmengine.registry import HOOKS\n\n\n@HOOKS.register_module()\n'
        "class BuggyHook(Hook):\n    def before_train(self, runner):\n        raise ZeroDivisionError('a bug')\n"
    )
    config = tmp_path / 'bug.py'
    config.write_text(
        f'import sys\nsys.path.insert(0, {str(tmp_path)!r})\n{detector.config.read_text()}\n'
        "custom_imports = dict(imports=['buggy_hook'])\ncustom_hooks = [dict(type='BuggyHook')]\n"
    )
    result = tools.run('train.py', config, cwd=tmp_path)
    assert result.code == 1
    assert 'Traceback' in result.err
    assert 'ZeroDivisionError: a bug' in result.err


def test_an_out_file_of_the_wrong_kind(tools, detector, tmp_path):
    error = only_error(tools.run('test.py', detector.config, detector.checkpoint, '--out', 'x.txt', cwd=tmp_path))
    assert '.pkl' in error
